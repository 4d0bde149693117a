"""An export that is killed while it replaces another: what is there is the old one, the new one, or refused."""

import contextlib
import errno
import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from keras_res3d import io
from keras_res3d.cards import read_card, save_model
from keras_res3d.export.export import export_model
from keras_res3d.export.formats import FORMATS, load_runner
from keras_res3d.io import atomic_group
from tests.export.test_runners import CARD, written
from tests.processes import holding, replaced

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 2, 8, 8, 3), np.uint8)


def tiny(seed):
    """Of the same shape whatever the seed: nothing but its weights and its card tells it apart."""
    keras.utils.set_random_seed(seed)
    clip = keras.Input((2, 8, 8, 3))
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Conv3D(4, 3, padding="same")(clip))
    return keras.Model(clip, keras.layers.Dense(3)(x), name="tiny")


def answer(path):
    """The class names and the scores that an export gives; None where it is refused in one line."""
    try:
        runner = load_runner(path)
    except (ValueError, FileNotFoundError) as error:
        assert ("\n" not in str(error) and "export the model again" in str(error)) or "run that again" in str(error)
        return None
    return runner.card.labels, tuple(runner(CLIPS).argmax(-1)), float(np.round(runner(CLIPS)[0, 0], 4))


@pytest.mark.parametrize("format", FORMATS)
def test_killed_between_the_moves_nothing_is_mixed(format, tmp_path):
    folders = [tmp_path / "old", tmp_path / "new"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        labels = CARD.labels if seed else CARD.labels[::-1]
        path = written(tiny(seed), format, folder, card=replace(CARD, labels=labels))
    old, new = (answer(folder / path.name) for folder in folders)
    assert old[0] != new[0] and old[2] != new[2]
    target, seen = tmp_path / "place" / path.name, []
    target.parent.mkdir()
    for moves in itertools.count():
        shutil.rmtree(target.parent)
        shutil.copytree(folders[0], target.parent)
        code = replaced(target, folders[1], moves)
        seen.append(answer(target))
        assert seen[-1] in (old, new, None)
        io._swept.clear()  # as in a new process
        with atomic_group(target) as stage:
            shutil.copytree(folders[1], stage.parent, dirs_exist_ok=True)
        assert answer(target) == new and not list(target.parent.glob(".*"))
        if code == 0:
            break
    assert seen[0] == old and seen[-1] == new and len(seen) == (2 if format in ("litert", "onnx") else 3)


def test_an_openvino_file_without_its_weights_is_refused(tmp_path):
    path = written(tiny(0), "openvino", tmp_path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(ValueError, match=r"net\.bin is missing beside it; .*export the model again"):
        load_runner(path)


def test_a_second_export_to_one_place_is_refused(tmp_path):
    path = tmp_path / "net.tflite"
    with holding(path, "exports to") as other:
        said = rf"another run \(process {other.pid} on .*\) exports to .*net\.tflite"
        with pytest.raises(ValueError, match=said):
            export_model(tiny(0), path, "litert", card=CARD, check_clips=CLIPS)
    export_model(tiny(0), path, "litert", card=CARD, check_clips=CLIPS)
    assert os.listdir(tmp_path) == ["net.tflite"]


@pytest.mark.parametrize("first", [False, True])
def test_a_model_saved_by_a_killed_process_has_its_own_card(tmp_path, monkeypatch, first):
    """Killed between the model and its card; what a user writes into the card afterwards counts."""
    path, move = tmp_path / "mine.keras", os.replace
    if not first:
        save_model(tiny(0), path, replace(CARD, labels=CARD.labels[::-1]))

    def killed(source, target):
        if str(target).endswith(".json"):
            raise KeyboardInterrupt
        return move(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", killed)
        save_model(tiny(1), path, CARD)
    beside = path.with_suffix(".json")
    assert beside.exists() != first
    said = contextlib.nullcontext() if first else pytest.warns(UserWarning, match=r"mine\.json is the card of the mod")
    with said:
        assert read_card(path).labels == CARD.labels
    np.testing.assert_array_equal(keras.models.load_model(path).get_weights()[0], tiny(1).get_weights()[0])
    save_model(tiny(1), path, CARD)
    assert read_card(path).labels == CARD.labels
    beside.write_text(replace(CARD, labels=("x", "y", "z")).to_json())
    assert read_card(path).labels == ("x", "y", "z")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # no copy can be read, so that the card beside it is all there is
    assert read_card(path).labels == ("x", "y", "z")


@pytest.mark.parametrize("format", ["litert", pytest.param("saved_model", marks=pytest.mark.slow)])
def test_a_full_disk_leaves_the_export_that_was_there(format, tmp_path, monkeypatch):
    path = tmp_path / f"net{FORMATS[format].suffix}"
    export_model(tiny(0), path, format, card=CARD, check_clips=CLIPS)
    before = answer(path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for where in ("os.fsync", "os.replace"):
        with monkeypatch.context() as patched, pytest.raises(OSError, match=f"No space left on device.*{path}"):
            patched.setattr(where, full)
            export_model(tiny(1), path, format, card=replace(CARD, labels=("x", "y", "z")), check_clips=CLIPS)
        assert answer(path) == before and os.listdir(tmp_path) == [path.name]
    with monkeypatch.context() as patched, pytest.raises(OSError, match=f"No space left on device.*{path}"):
        patched.setitem(FORMATS, format, replace(FORMATS[format], write=full))
        export_model(tiny(1), path, format, card=CARD, check_clips=CLIPS)
    assert answer(path) == before and os.listdir(tmp_path) == [path.name]


@pytest.mark.slow
def test_keras_opens_a_model_with_a_card_inside_without_this_package(tmp_path):
    save_model(tiny(0), tmp_path / "mine.keras", CARD)
    code = ("import sys, keras\nmodel = keras.models.load_model(sys.argv[1])\n"
            "assert 'keras_res3d' not in sys.modules\nprint(model.count_params())")  # fmt: skip
    command = [sys.executable, "-c", code, str(tmp_path / "mine.keras")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) == tiny(0).count_params()
