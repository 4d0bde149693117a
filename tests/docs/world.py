"""What the documentation's examples find: videos under the names that the pages use, narrow nets, made-up weights."""

import dataclasses
import pathlib
import re
import shutil

import numpy as np

from keras_res3d.commands.main import main
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training.recipes import RECIPES
from keras_res3d.weights import catalog
from tests.conftest import write_video
from tests.tasks.made_features import made_pairs, write_features
from tests.weights.formula import caffe_layers
from tests.weights.writers import caffemodel_bytes

CLASSES = {"fight": 40, "walk": 210}  # mean brightness
VIDEOS_PER_CLASS = 5


def narrow(monkeypatch):
    """Every net of the zoo narrow and short, and every recipe two steps long, as long as the test lasts.

    Of the blocks of a residual net one is left of each group, two of the last: pages name `res5b`.
    """
    for name, net in list(ZOO.items()):
        dense = tuple(8 for _ in net.dense)
        stem = net.factorized_stem and 4
        blocks = tuple(map(min, net.blocks, (1, 1, 1, 2))) if net.shortcut else net.blocks
        small = dataclasses.replace(net, width=4, blocks=blocks, dense=dense, factorized_stem=stem)
        monkeypatch.setitem(ZOO, name, small)
    for name, row in list(RECIPES.items()):
        monkeypatch.setitem(RECIPES, name, dataclasses.replace(row, iterations=2, batch_size=2))


def write_videos(folder):
    """The data sets that the pages name, each small: class folders, CSV lists, UCF101's layout, single videos."""
    rng, rows = np.random.default_rng(0), []
    for label, level in CLASSES.items():
        (folder / "videos" / label).mkdir(parents=True)
        for number in range(VIDEOS_PER_CLASS):
            path = folder / "videos" / label / f"{number}.mp4"
            write_video(path, np.clip(rng.normal(level, 12, (20, 48, 64, 3)), 0, 255).astype(np.uint8))
            rows.append((path.relative_to(folder), label, number))
    parts = {"train": [row for row in rows if row[2] < 4], "test": [row for row in rows if row[2] >= 4]}
    for name, part in parts.items():
        lines = [f"{path.as_posix()},{label},{label}{number}" for path, label, number in part]
        (folder / f"{name}.csv").write_text("\n".join(["path,label,group", *lines]) + "\n")
        shorter = [line.removeprefix("videos/") for line in lines]
        (folder / "videos" / f"{name}.csv").write_text("\n".join(["path,label,group", *shorter]) + "\n")
    _write_ucf101(folder, parts)
    for name in ("video", "camera1", "camera2", "long"):
        shutil.copy(folder / rows[0][0], folder / f"{name}.mp4")


def _write_ucf101(folder, parts):
    lists = folder / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("".join(f"{n} {label}\n" for n, label in enumerate(CLASSES, 1)))
    for name, part in parts.items():
        lines = []
        for path, label, number in part:
            file = folder / "UCF-101" / label / f"v_{label}_g{number:02d}_c01.avi"
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / path, file)
            lines.append(f"{label}/{file.name} {list(CLASSES).index(label) + 1}".split(" "))
        text = "".join(" ".join(line if name == "train" else line[:1]) + "\n" for line in lines)
        (lists / f"{name}list01.txt").write_text(text)


def write_made_features(folder):
    """Folders of features of the world's videos, a list of pairs, and UCF101's lists for three splits."""
    rng = np.random.default_rng(0)

    def widths(rows):
        return {name: rng.uniform(size=(rows, width)) for name, width in (("res5b", 24), ("pool5", 12), ("prob", 4))}

    for name, place, pattern in (("mine", "videos", "*.mp4"), ("ucf101", "UCF-101", "*.avi")):
        ids = sorted(path.relative_to(folder / place).as_posix() for path in (folder / place).rglob(pattern))
        labels = [name.partition("/")[0] for name in ids]
        write_features(folder / "features" / name, ids, labels, **widths(len(ids)))
    values, ids, rows = made_pairs()
    write_features(folder / "features" / "aslan", ids, [None] * len(ids), **widths(len(ids)) | {"pool5": values})
    (folder / "view2.txt").write_text("".join(f"{one} {other} {same}\n" for one, other, same in rows))
    write_more_splits(folder)


def write_more_splits(folder):
    """UCF101's lists for three splits: the second and the third are copies of the first."""
    for part in ("train", "test"):
        for split in (2, 3):
            lists = folder / "ucfTrainTestlist"
            shutil.copy(lists / f"{part}list01.txt", lists / f"{part}list0{split}.txt")


def write_run(folder):
    """A small trained net, as `keras-res3d train` leaves it."""
    words = ["--data", folder / "videos", "--net", "sr18", "--width", 4, "--frames", 4, "--crop", 32, "--epochs", 1]
    assert main(["train", *map(str, words), "--output", str(folder / "run")]) == 0


def write_mirror(folder):
    """Files for the rows of the catalog that come from Caffe, with made-up numbers for the narrow nets."""
    folder.mkdir()
    for entry in catalog.entries():
        if entry.format == "caffemodel":
            net = dataclasses.replace(ZOO[entry.net], classes=entry.classes, frames=entry.frames)
            data = caffemodel_bytes(caffe_layers(net), variant="c3d" if net.dense else "layer", raw=True)
            (folder / entry.filename).write_bytes(data)


def runs_needed(blocks, shells):
    """Folders `runs/NAME` that a page's blocks use before any of them trains into it."""
    seen, needed = set(), set()
    for block in blocks:
        lines = block.text.replace("\\\n", " ").splitlines() if block.language in shells else [block.text]
        for line in lines:
            named = set(re.findall(r"runs/\w+", line)) - seen
            made = set(re.findall(r"train\b.*--output (runs/\w+)", line)) if block.language in shells else named
            needed |= named - made
            seen |= named
    return {pathlib.PurePosixPath(name) for name in needed}
