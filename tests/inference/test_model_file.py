"""Names that are no model, and files that are damaged: one true line that names the file, before Keras is loaded."""

import json
import re
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_res3d import load_model, save_model
from keras_res3d.commands.main import main
from keras_res3d.inference.model_file import is_published, model_file
from keras_res3d.weights.formats.registry import read_tensors

from ..users_models import SAMPLING, foreign, rescaled


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "net.keras"
    save_model(foreign(), path, labels="abc")
    return path


def refusal(path, error=ValueError) -> str:
    """What loading says: one line that names the file."""
    with pytest.raises(error) as caught:
        load_model(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_a_model(saved, tmp_path):
    assert model_file(saved) == saved
    (tmp_path / "model.keras").write_bytes(saved.read_bytes())
    assert model_file(tmp_path) == tmp_path / "model.keras"
    (tmp_path / "saved_model.pb").touch()
    assert model_file(tmp_path) == tmp_path
    assert is_published("res3d18/sports1m") and not is_published("res3d18/nothing") and not is_published(saved)


def test_names_that_are_no_model(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere", FileNotFoundError)
    assert "is a folder without a model" in refusal(tmp_path)
    for name, said in (("net.h5", "old HDF5 format"), ("net.weights.h5", "weights without a net"),
                       ("net.pth", "weights without a net"), ("video.mp4", "neither a .keras file nor an export"),
                       ("net.keras", "damaged, cut short or not a .keras file")):  # fmt: skip
        (tmp_path / name).write_bytes(b"something")
        assert said in refusal(tmp_path / name)
    (tmp_path / "folder.keras").mkdir()
    assert "without a model" in refusal(tmp_path / "folder.keras")


def test_a_file_cut_short_anywhere(saved, tmp_path):
    data, path = saved.read_bytes(), tmp_path / "cut.keras"
    for share in (0, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(data[: int(share * len(data))])
        assert "damaged, cut short" in refusal(path)


def test_flipped_bits(saved, tmp_path):
    """Either the model loads, since the bit means nothing, or one line names the file."""
    data, path, refused = saved.read_bytes(), tmp_path / "flipped.keras", 0
    for place in np.random.default_rng(0).integers(0, 8 * len(data), 60):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            assert load_model(path).card.labels
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 40


def test_archives_that_are_whole_and_wrong(saved, tmp_path):
    """Checksums are right, and what is inside is not what Keras wrote."""
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    wrong = {
        "no config": {**parts, "config.json": None},
        "no weights": {**parts, "model.weights.h5": None},
        "config is a list": {**parts, "config.json": b"[]"},
        "config is no JSON": {**parts, "config.json": b"\xff\xfe"},
        "unknown class": {**parts, "config.json": parts["config.json"].replace(b'"Conv3D"', b'"Conv9D"')},
        "weights of nothing": {**parts, "model.weights.h5": b"no HDF5"},
        "another kernel": {**parts, "config.json": parts["config.json"].replace(b'"filters": 6', b'"filters": 7')},
    }
    for name, content in wrong.items():
        path = tmp_path / f"{name}.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for part, data in content.items():
                if data is not None:
                    archive.writestr(part, data)
        assert name != "unknown class" or "Conv9D" in refusal(path)
        refusal(path)


def with_parts(saved, path, **changed):
    """The archive with other bytes for some of its parts, every checksum right."""
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(path, "w") as other:
        for name in archive.namelist():
            other.writestr(name, changed.get(name.split(".")[0], archive.read(name)))
    return path


@pytest.mark.parametrize("frames", ["10000000", str(2**40), str(2**70), "1" + "0" * 5000, "-1"],
                         ids=len)
def test_a_configuration_with_a_clip_of_any_length_is_refused_before_it_is_built(saved, tmp_path, frames):
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("config.json").decode()
    huge = text.replace('"batch_shape": [null, 4,', f'"batch_shape": [null, {frames},')
    assert huge != text
    path = with_parts(saved, tmp_path / "long.keras", config=huge.encode())
    assert "config.json" in refusal(path)
    with pytest.raises(ValueError, match=r"long\.keras.*config\.json"):
        read_tensors(path)


def test_a_configuration_nested_without_end_or_of_endless_units(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("config.json").decode()
    for config in ("[" * 10**6, '{"a":' * 10**5, text.replace('"filters": 6', f'"filters": {10**9}')):
        assert "config.json" in refusal(with_parts(saved, tmp_path / "deep.keras", config=config.encode()))


def test_an_archive_that_unpacks_to_a_hundred_times_its_size(saved, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(10**7))
    assert "its entries claim 10,000,002 bytes" in refusal(path)


def test_every_command_tells_a_damaged_model_in_one_line(saved, tmp_path, capsys):
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "bent.keras"
    path.write_bytes(data)
    (tmp_path / "a.mp4").write_bytes(b"no video")
    model, output = str(path), str(tmp_path / "out")
    for words in (
        ["predict", model, str(tmp_path / "a.mp4")], ["evaluate", model, "--data", str(tmp_path)],
        ["export", model, "--output", f"{output}.tflite"],
        ["extract", model, "--data", str(tmp_path), "--output", output],
        ["figures", "filters", model, "--output", output],
        ["figures", "saliency", model, str(tmp_path / "a.mp4"), "--output", output],
    ):  # fmt: skip
        assert main(words) == 1, words
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and f"{path} is damaged, cut short" in told, told


def test_models_that_take_no_clips(tmp_path):
    words = keras.Input((4, 32, 32, 3), dtype="string")
    path = tmp_path / "words.keras"
    keras.Model(words, words, name="words").save(path)
    assert "words takes inputs of type string; expected clips of numbers" in refusal(path)
    picture = keras.Input((32, 32, 3))
    path = tmp_path / "flat.keras"
    keras.Model(picture, keras.layers.GlobalAveragePooling2D()(picture), name="flat").save(path)
    assert "flat takes inputs of shape (32, 32, 3); expected clips" in refusal(path)


@pytest.fixture(scope="module")
def of_family(tmp_path_factory):
    path = tmp_path_factory.mktemp("family") / "net.keras"
    save_model(rescaled(), path, labels="abc", sampling=SAMPLING)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frames": 9999}, "the model takes clips of 4 frames, its card says 9999"),
        ({"multi_label": True}, "rescaled ends in a softmax"),
        ({"architecture": {"temporal_kernels": [3, 3, 1, 1, 1], "name": "mc3"}},
         "its card describes mc3, whose convolutions are not those of the model: .* of res3a_branch2a are"),
        ({"architecture": {"blocks": [1, 1, 2, 2]}}, "are missing in|missing in the model"),
        ({"architecture": {"classes": 7, "name": "mine", "batch_norm_momentum": 0.5}}, None),
        ({"architecture": None, "frames": None}, None),
    ],
)  # fmt: skip
def test_a_card_of_another_net_is_refused(of_family, tmp_path, changes, said):
    path = tmp_path / "net.keras"
    path.write_bytes(of_family.read_bytes())
    fields = json.loads(of_family.with_suffix(".json").read_text())
    if changes.get("architecture"):
        changes = {**changes, "architecture": {**fields["architecture"], **changes["architecture"]}}
    path.with_suffix(".json").write_text(json.dumps({**fields, **changes}))
    if said is None:
        assert load_model(path).card.labels == ("a", "b", "c")
    else:
        assert re.search(f"and its card net.json do not fit: .*({said})", refusal(path))


def test_a_card_that_does_not_fit(saved, tmp_path):
    path = tmp_path / "net.keras"
    path.write_bytes(saved.read_bytes())
    card = saved.with_suffix(".json").read_text()
    for text, said in ((card.replace('"c"', '"c", "d"'), "3 outputs, its card names 4"),
                       (card.replace('"frames": 4', '"frames": 8'), "the sampling gives 8 frames")):  # fmt: skip
        assert text != card
        path.with_suffix(".json").write_text(text)
        assert said in refusal(path)
    fields = json.loads(card)
    wrong = [json.dumps({**fields, "labels": labels}) for labels in ("abc", [1, 2, 3], None, {})]
    for text in ("", "[]", "null", '{"labels": 3}', "\x00", *wrong):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(ValueError, match=r"net\.json: not a model card") as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "code", "lines"),
    [
        (["predict"], 2, 4),  # both words that are missing, the usage and where help is
        (["predict", "nowhere", "x.mp4"], 1, 1),
        (["predict", "{net}", "nowhere.mp4"], 1, 1),
        (["evaluate", "--data", "x"], 2, 3),
        (["evaluate", "nowhere", "--data", "x"], 1, 1),
        (["export", "nowhere", "--output", "x"], 1, 1),
    ],
)
def test_wrong_names_are_told_before_keras_is_loaded(arguments, code, lines, saved):
    run = (
        "import sys; from keras_res3d.commands.main import main; code = main(sys.argv[1:]); "
        "sys.exit(9 if {'keras', 'tensorflow'} & set(sys.modules) else code)"
    )
    given = [argument.format(net=saved) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", run, *given], capture_output=True, text=True, check=False)
    assert done.returncode == code and done.stderr.count("\n") == lines, done.stderr
    assert code == 1 or "MODEL is missing" in done.stderr
