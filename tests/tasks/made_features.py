"""Features with a known answer, in memory and on disk, and the lists that go with them."""

import numpy as np

from keras_res3d import Features
from keras_res3d.tasks.feature_folder import FORMAT, write_header, write_part
from keras_res3d.tasks.feature_parts.base import VideoRow


def made(ids, labels, values, groups=None, **layers):
    rows = len(ids)
    layers = layers or {"pool5": np.asarray(values, "float32")}
    return Features(layers, tuple(ids), tuple(labels), tuple(groups or [None] * rows), np.tile([0.0, 1.0], (rows, 1)))


def separable(count, classes=3, seed=0, width=8, noise=0.05):
    """(values, labels): every class has a direction of its own."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % classes
    values = np.eye(classes, width)[numbers] + noise * rng.normal(size=(count, width))
    return values.astype("float32"), [f"class {number}" for number in numbers]


def write_ucf101(folder, groups=6):
    """Lists of three splits and features of all videos: the class is known from the features."""
    ids, labels = [], []
    (folder / "classInd.txt").write_text("1 Archery\n2 Diving\n")
    for label in ("Archery", "Diving"):
        for group in range(1, groups + 1):
            ids += [f"{label}/v_{label}_g{group:02d}_c{clip:02d}.avi" for clip in (1, 2)]
    labels = [name.partition("/")[0] for name in ids]
    for split in (1, 2, 3):
        held_out = {f"g{2 * split - 1:02d}", f"g{2 * split:02d}"}
        parts = {"train": [], "test": []}
        for name, label in zip(ids, labels, strict=True):
            inside = name.split("_")[2] in held_out
            parts["test" if inside else "train"].append(name if inside else f"{name} {1 + (label == 'Diving')}")
        for part, lines in parts.items():
            (folder / f"{part}list{split:02d}.txt").write_text("\n".join(lines) + "\n")
    return ids, labels


def write_csv(path, rows, group=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,group" if group else "path,label", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def made_pairs(count=40, seed=0):
    """Pairs of videos of two actions a fold, and their features by id."""
    rng = np.random.default_rng(seed)
    ids = [f"v{number}" for number in range(40)]
    values = np.eye(4)[np.arange(40) % 4] + 0.1 * rng.uniform(size=(40, 4))
    rows = []
    for number in range(count):
        one = int(rng.integers(40))
        same = number % 2
        other = int(rng.choice([n for n in range(40) if (n % 4 == one % 4) == bool(same) and n != one]))
        rows.append((ids[one], ids[other], same))
    return values.astype("float32"), ids, rows


def write_features(folder, ids, labels, per_clip=False, seconds=None, **layers):
    """A folder of features as extraction writes it: one part, a row a video."""
    layers = {name: np.asarray(rows, "float32") for name, rows in layers.items()}
    header = {
        "format": FORMAT, "model": {"net": "made", "digest": "0", "engine": "keras"},
        "layers": {name: rows.shape[1] for name, rows in layers.items()}, "sampling": {"frames": 8}, "step": 16,
        "per_clip": per_clip, "normalized": False, "trained_on": "", "classes": [], "data": [],
    }  # fmt: skip
    write_header(folder, header)
    videos, counts = [], {}
    for name in ids:
        counts[name] = counts.get(name, 0) + 1
    for number, name in enumerate(counts):
        videos.append(VideoRow(name, labels[ids.index(name)], None, number, None, counts[name]))
    seconds = np.tile([0.0, 0.5], (len(ids), 1)) if seconds is None else np.asarray(seconds, float)
    write_part(folder / "part0.npz", header, videos, seconds, layers)
    return folder
