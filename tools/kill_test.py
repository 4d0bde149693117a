"""Kills a command by SIGKILL at random moments, starts it again, and compares the end with that of an undisturbed run.

    python tools/kill_test.py train --kills 50 --seed 0
    python tools/kill_test.py pack|convert|export --kills 50

Half of the kills come at a random moment of the command's time, half just when its folder changes. After a kill the
command is started again, and perhaps killed again, until it ends: then its result must be that of the undisturbed run,
bit for bit where it is weights or shards, with nothing left beside it. The table counts what each kill left:

    started anew   nothing that could be used
    went on        a part, which the next run goes on with
    done           the whole result
    old, new       (export) the export that was to be replaced, or the one that was to be written
    refused        (export) files of both, which are refused in one line until the command has run again
    WRONG          anything else; the tool then exits with 1

Each command runs in a process forked from this one, which has imported TensorFlow and done nothing with it.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from typing import NamedTuple

from forks import forked

import keras_res3d
from keras_res3d.commands.main import main as keras_res3d_main
from keras_res3d.data.sources.shards import MANIFEST
from keras_res3d.io import digest, silenced
from keras_res3d.tables import as_markdown

OUTCOMES = ("started anew", "went on", "done", "old", "new", "refused", "WRONG")
POLL, LONGEST = 0.0005, 600  # seconds between two looks at a folder, and for a run at most


class Target(NamedTuple):
    """A command that is killed.

    Args:
        prepare: `prepare(inputs)` makes what it needs, in a process of its own.
        begin: `begin(inputs, place)` makes `place` as it is before the first run.
        run: `run(inputs, place)` gives its exit code.
        left: `left(place, inputs)` says what a kill left there, one of `OUTCOMES`.
        result: `result(place)` is what must be the same; plain values.
    """

    prepare: Callable
    begin: Callable
    run: Callable
    left: Callable
    result: Callable


def _video_list(inputs: pathlib.Path) -> None:
    """48 small videos of two classes, and lists to train on and to validate on."""
    import av
    import numpy as np

    rows = []
    for number in range(48):
        label = ("left", "right")[number % 2]
        path = inputs / label / f"{number:02}.avi"
        path.parent.mkdir(exist_ok=True)
        rng = np.random.default_rng(number)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(20):
                frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        rows.append(f"{path},{label}\n")
    for name, part in (("train.csv", rows[:32]), ("test.csv", rows[32:])):
        (inputs / name).write_text("path,label\n" + "".join(part))


def _fresh(inputs: pathlib.Path, place: pathlib.Path) -> None:
    place.mkdir()


def _arrays(file) -> str:
    """The digest of all arrays of an HDF5 file, by name."""
    import h5py

    total = hashlib.sha256()

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            total.update(f"{name} {item.shape} {item.dtype}\n".encode() + item[()].tobytes())

    with h5py.File(file, "r") as weights:
        weights.visititems(add)
    return total.hexdigest()


def _train(inputs: pathlib.Path, place: pathlib.Path) -> int:
    return keras_res3d_main([
        "train", "--data", str(inputs / "train.csv"), "--validation", str(inputs / "test.csv"), "--net", "d10",
        "--width", "2", "--crop", "16", "--frames", "4", "--epochs", "3", "--batch_size", "4",
        "--learning_rate", "0.05", "--checkpoint_steps", "3", "--output", str(place / "run"),
    ])  # fmt: skip


def _train_left(place: pathlib.Path, inputs: pathlib.Path) -> str:
    from keras_res3d.training import checkpoint
    from keras_res3d.training.folder import state_of

    run = place / "run"
    state = state_of(run)
    if state == "finished":
        return "done"
    if state == "foreign" or (state == "nothing" and (run / "model.keras").exists()):
        return "WRONG"
    return "went on" if checkpoint.load(run) else "started anew"


def _trained(place: pathlib.Path) -> dict:
    run, found = place / "run", {}
    for name in ("model", "best"):
        with zipfile.ZipFile(run / f"{name}.keras") as archive, archive.open("model.weights.h5") as weights:
            found[name] = _arrays(weights)
        card = keras_res3d.read_card(run / f"{name}.keras")
        figures = {key: value for key, value in card.training.items()
                   if key not in ("seconds", "clips_per_second", "data_wait")}  # fmt: skip
        found[f"{name}'s card"] = repr(dataclasses.replace(card, training=figures))
    rows = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    clock = [rows[0].index(name) for name in ("seconds", "clips_per_second", "data_wait")]
    found["log"] = [[value for at, value in enumerate(row) if at not in clock] for row in rows]
    return {**found, "files": sorted(os.listdir(run))}


def _pack(inputs: pathlib.Path, place: pathlib.Path) -> int:
    return keras_res3d_main(["pack", "--data", str(inputs / "train.csv"), "--output", str(place / "shards"),
                             "--shard_mb", "1", "--workers", "1"])  # fmt: skip


def _pack_left(place: pathlib.Path, inputs: pathlib.Path) -> str:
    shards = place / "shards"
    if (shards / MANIFEST).exists():
        return "done"
    return "went on" if list(shards.glob(".shard-*.tfrecord.json")) else "started anew"


def _files(place: pathlib.Path) -> dict:
    return {str(path.relative_to(place)): digest(path) for path in sorted(place.rglob("*")) if path.is_file()}


def _tiny_net():
    return dataclasses.replace(keras_res3d.get_architecture("sr18"), name="tiny", width=4, frames=4, crop=32, classes=3)


def _original(inputs: pathlib.Path) -> None:
    """Weights such as somebody publishes, in a folder that stands for the address."""
    from keras_res3d.nets.build import build_graph

    model = build_graph(_tiny_net(), classifier_activation=None)
    model.save_weights(inputs / "tiny.weights.h5")


def _entry():
    from keras_res3d.weights.catalog import WeightsEntry

    return WeightsEntry("tiny", "tiny", "https://example.org/tiny.weights.h5", "keras", 3, "ucf101", "L", "T", frames=4,
                        crop=(32, 32))  # fmt: skip


def _convert(inputs: pathlib.Path, place: pathlib.Path) -> int:
    from keras_res3d.weights import store

    os.environ |= {"KERAS_HOME": str(place), store.MIRROR_VARIABLE: str(inputs)}
    store.converted(_entry(), _tiny_net())
    return 0


def _convert_left(place: pathlib.Path, inputs: pathlib.Path) -> str:
    try:
        _converted(place)
        return "done"
    except (OSError, ValueError):
        return "started anew"


def _converted(place: pathlib.Path) -> dict:
    from keras_res3d.weights.about import read_sidecar

    (file,) = [*(place / "keras_res3d").glob("*.h5")] or [place / "none"]
    fields = read_sidecar(file) or {}
    if not file.exists() or fields.get("sha256") != digest(file):
        raise ValueError("not converted")
    fields.pop("sha256")
    names = sorted(name for name in os.listdir(file.parent) if not name.endswith(".lock"))
    return {"weights": _arrays(file), "about": fields, "files": names}


def _models(inputs: pathlib.Path) -> None:
    """Two models of one shape with the labels in another order, and exports of both in every format."""
    import keras

    from keras_res3d.export.formats import FORMATS

    for name, seed in (("old", 1), ("new", 2)):
        keras.utils.set_random_seed(seed)
        model = keras_res3d.build_model(_tiny_net(), input_shape=(4, 32, 32, 3))
        labels = ("a", "b", "c") if name == "old" else ("c", "b", "a")
        card = keras_res3d.save_model(model, inputs / f"{name}.keras", labels=labels)
        for format in FORMATS:
            with contextlib.suppress(ImportError):
                path = inputs / name / f"{format}{FORMATS[format].suffix}"
                keras_res3d.export_model(model, path, format, card=card)


def _its_format(inputs: pathlib.Path, place: pathlib.Path) -> str:
    """The format that is exported to a place: one after the other."""
    names = sorted({path.stem for path in (inputs / "old").iterdir()})
    return names[int(re.sub(r"\D", "", place.name) or 0) % len(names)]


def _export_begin(inputs: pathlib.Path, place: pathlib.Path) -> None:
    place.mkdir()
    for path in (inputs / "old").glob(f"{_its_format(inputs, place)}*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place / path.name)


def _export(inputs: pathlib.Path, place: pathlib.Path) -> int:
    format = _its_format(inputs, place)
    (path,) = (path for path in (inputs / "old").glob(f"{format}*") if path.suffix != ".bin")
    return keras_res3d_main(["export", str(inputs / "new.keras"), "--format", format, "--output",
                             str(place / path.name)])  # fmt: skip


def _export_left(place: pathlib.Path, inputs: pathlib.Path) -> str:
    """In a process of its own: runtimes start threads."""
    answer = place.with_suffix(".answer")
    answer.write_text("[]")
    code, _ = ended(forked(lambda: _answers(place, inputs, answer), place.with_suffix(".answers.log")), LONGEST)
    found = set(json.loads(answer.read_text()))
    return "WRONG" if code or len(found) != 1 else found.pop()


def _answers(place: pathlib.Path, inputs: pathlib.Path, answer: pathlib.Path) -> int:
    format = _its_format(inputs, place)
    found = [_which(inputs, place / path.name) for path in (inputs / "new").glob(f"{format}*") if path.suffix != ".bin"]
    answer.write_text(json.dumps(found))
    return 0


def _which(inputs: pathlib.Path, path: pathlib.Path) -> str:
    """Whether an export has the labels and the scores of the old model, or those of the new one."""
    import numpy as np

    from keras_res3d.export.formats import load_runner

    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
    try:
        runner = load_runner(path)
    except (ValueError, FileNotFoundError) as error:
        return "refused" if "again" in str(error) and "\n" not in str(error) else "WRONG"
    for name in ("old", "new"):
        other = load_runner(inputs / name / path.name)
        if runner.card.labels == other.card.labels and np.allclose(runner(clips), other(clips), atol=1e-4):
            return name
    return "WRONG"


def _exported(place: pathlib.Path) -> dict:
    """Whether it is the new one is asked of what is left; of the files the formats have different ones."""
    return {}


TARGETS = {
    "train": Target(_video_list, _fresh, _train, _train_left, _trained),
    "pack": Target(_video_list, _fresh, _pack, _pack_left, _files),
    "convert": Target(_original, _fresh, _convert, _convert_left, _converted),
    "export": Target(_models, _export_begin, _export, _export_left, _exported),
}


def ended(pid: int, seconds: float, place: pathlib.Path | None = None, changes: int | None = None) -> tuple:
    """Waits for a process, and kills it after so many seconds or changes of a folder.

    Returns:
        Its exit code, None where it was killed, and the number of changes seen.
    """
    end, seen, before = time.monotonic() + seconds, 0, None
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), seen
        if place is not None:
            now = _listing(place)
            seen, before = seen + (now != before), now
        if time.monotonic() > end or (changes is not None and seen > changes):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None, seen
        time.sleep(POLL)


def _listing(place: pathlib.Path) -> list[str]:
    found = []
    for folder, folders, names in os.walk(place):
        found += [os.path.join(folder, name) for name in [*folders, *names]]
    return found


class Undisturbed(NamedTuple):
    """A run that was left alone: its result, its seconds, and how often its folder changed."""

    result: dict
    seconds: float
    changes: int


def undisturbed(target: Target, inputs: pathlib.Path, place: pathlib.Path) -> Undisturbed:
    """Runs a target once to its end. Raises RuntimeError where it fails."""
    target.begin(inputs, place)
    log, start = place.with_suffix(".log"), time.monotonic()
    code, changes = ended(forked(lambda: target.run(inputs, place), log), LONGEST, place)
    if code != 0:
        raise RuntimeError(f"the undisturbed run failed ({code}):\n{log.read_text(errors='replace')[-2000:]}")
    return Undisturbed(target.result(place), time.monotonic() - start, changes)


def chain(target: Target, inputs, place, alone: Undisturbed, rng: random.Random, kills: int) -> tuple[list[str], str]:
    """Kills a run up to so many times, and lets it end.

    Returns:
        What each kill left, and what is wrong with the end; "" where nothing is.
    """
    target.begin(inputs, place)
    log, left = place.with_suffix(".log"), []
    wanted = rng.randint(1, min(kills, 5))
    while len(left) < wanted:
        at_a_change = rng.random() < 0.5
        moment = LONGEST if at_a_change else rng.uniform(0, alone.seconds)
        changes = rng.randint(1, alone.changes) if at_a_change else None
        code, _ = ended(forked(lambda: target.run(inputs, place), log), moment, place, changes)
        if code is not None:  # it ended before its kill came
            break
        left.append(target.left(place, inputs))
    log = place.with_suffix(".last.log")
    code, _ = ended(forked(lambda: target.run(inputs, place), log), LONGEST, place)
    said = log.read_text(errors="replace")
    refused = code == 1 and "holds a finished run" in "".join(said.splitlines()[-1:])
    if code != 0 and not refused:
        return left, f"exit code {code}: {said[-2000:]}"
    if "Traceback" in said:
        return left, said[-2000:]
    remains = [name for name in _listing(place) if os.path.basename(name).startswith(".")]
    remains = [name for name in remains if not name.endswith(".lock")]
    found = target.result(place)
    differ = [name for name in {**found, **alone.result} if found.get(name) != alone.result.get(name)]
    if (there := target.left(place, inputs)) not in ("done", "new"):
        differ.append(f"what is there ({there})")
    return left, "; ".join([*(f"differs in {name}" for name in differ), *(f"remains: {name}" for name in remains)])


def kill_test(name: str, kills: int, seed: int, folder: pathlib.Path) -> tuple[collections.Counter, list[str]]:
    """Kills a target again and again.

    Returns:
        How often each outcome was met, and what went wrong, a text for each.
    """
    target, rng = TARGETS[name], random.Random(seed)
    inputs, counts, wrong = folder / "inputs", collections.Counter(), []
    inputs.mkdir()
    code, _ = ended(forked(lambda: target.prepare(inputs), folder / "prepare.log"), LONGEST)
    if code != 0:
        raise RuntimeError((folder / "prepare.log").read_text(errors="replace")[-2000:])
    alone = undisturbed(target, inputs, folder / "alone")
    print(f"undisturbed: {alone.seconds:.1f} s, {alone.changes} changes of the folder", flush=True)
    number = 0
    while (done := counts.total()) < kills:
        place, number = folder / f"killed{number}", number + 1
        left, fault = chain(target, inputs, place, alone, rng, kills - done)
        if fault:
            wrong.append(f"{place}: {fault}")
        counts.update(["WRONG"] * len(left) if fault else left)
        print(f"{counts.total()}/{kills}: {', '.join(left)} {fault}", file=sys.stderr, flush=True)
        if not fault and "WRONG" not in left:
            shutil.rmtree(place)
    return counts, wrong


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--kills", type=int, default=50, help="at least so many")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; the machine's load moves them too")
    arguments = parser.parse_args(argv)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with silenced(2):  # once, before the forks
        import keras_res3d.export.export
        import keras_res3d.training.fit  # noqa: F401

    folder = pathlib.Path(tempfile.mkdtemp(prefix="kill_test."))
    counts, wrong = kill_test(arguments.target, arguments.kills, arguments.seed, folder)
    header = ["command", "kills", *OUTCOMES]
    print(as_markdown(header, [[arguments.target, str(counts.total()), *(str(counts[each]) for each in OUTCOMES)]]))
    for text in wrong:
        print(text)
    if wrong or counts["WRONG"]:
        print(f"what is wrong was kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
