"""Compares three sets of features of the same videos: of a trained net, of a random net, and of colours alone.

    python tools/feature_sets.py fight/train.csv fight/test.csv --output features --seeds 0,1,2,3,4

The net is trained on the embedded data set, in which only motion tells the classes; the random net is the same net
before its training. Colour histograms know nothing of motion or of shapes: what a classifier reaches on them is what
colours give away. Each list becomes a folder of each set, such as features/colours/train. A linear SVM is trained on
the first list and tested on the second, as by keras-res3d transfer svm, once for each seed.

Two intervals of 95 % are printed beside each mean. The first is Student's t over seeds: what other nets on the same
test videos would give. The second is a bootstrap that draws seeds and groups of test videos anew: what other nets on
other such videos would give.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

NET, WIDTH, SIZE, FRAMES = "res3d18", 16, 32, 8
BINS = 8  # of each of the three colours
LAYER = "colours"
DRAWS = 10_000  # of the bootstrap


class ColourHistograms:
    """Gives the shares of pixels of each colour in a clip, in the place of a `FeatureNet`.

    Args:
        card: of a net, whose clips are taken.
    """

    engine = "histogram"

    def __init__(self, card):
        self.card = dataclasses.replace(card, net="colour histograms", labels=(), trained_on="")
        self.widths = {LAYER: BINS**3}
        self.digest = hashlib.sha256(f"{BINS} bins".encode()).hexdigest()

    def __call__(self, clips: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        bins = clips.astype(np.int64) * BINS // 256
        places = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]
        counts = np.stack([np.bincount(place.ravel(), minlength=BINS**3) for place in places])
        shares = (counts / places[0].size).astype(np.float32)
        return {LAYER: shares}, shares


def nets(folder: pathlib.Path, seed: int, epochs: int) -> dict[str, pathlib.Path]:
    """The random net and the trained one, each with its card, as paths of `.keras` files.

    Args:
        folder: where they are written; what is there is taken as it is.
        seed: of the first weights and of the training.
        epochs: of the training.
    """
    import keras_res3d
    from keras_res3d.training.fit import prepare_net

    random, trained = folder / "random.keras", folder / "trained"
    sampling = keras_res3d.Sampling(FRAMES, 2, (SIZE, SIZE), (SIZE, SIZE))
    data_set = keras_res3d.read_data_set("motion")
    options = keras_res3d.TrainingOptions(epochs=epochs, batch_size=32, learning_rate=0.05, seed=seed)
    # Not by build_model: at the published momentum of 0.999 the statistics of batch norm would hardly leave their
    # first values in so short a run, and the trained net would compute nonsense.
    architecture = dataclasses.replace(keras_res3d.ZOO[NET], width=WIDTH)
    net = prepare_net(architecture, sampling, len(data_set.classes), options, len(data_set))
    if not random.exists():
        keras_res3d.save_model(net, random, labels=data_set.classes, sampling=sampling)
    if not (trained / "model.keras").exists():
        keras_res3d.train(net, data_set, sampling, trained, options)
    return {"trained": trained / "model.keras", "random": random}


def make(lists, output, seed: int = 0, epochs: int = 6) -> dict[str, list[pathlib.Path]]:
    """Writes the three sets.

    Args:
        lists: data sets' paths, of different names.
        output: the folder; a second call computes what it lacks.
        seed, epochs: as of `nets`.

    Returns:
        For each set ("trained", "random", "colours") a folder for each list.
    """
    from keras_res3d import load_model, read_data_set
    from keras_res3d.tasks.extract import Extraction, extract_to_folder
    from keras_res3d.tasks.feature_net import FeatureNet
    from keras_res3d.tasks.named_videos import name_videos, root_of

    output = pathlib.Path(output)
    files = nets(output / f"nets-{seed}", seed, epochs)
    givers = {name: FeatureNet(load_model(file), ["pool5", "prob"]) for name, file in files.items()}
    givers["colours"] = ColourHistograms(givers["random"].card)
    folders: dict[str, list[pathlib.Path]] = {}
    for path in map(pathlib.Path, lists):
        data = read_data_set(path)
        for name, giver in givers.items():
            own = name if name == "colours" else f"{name}-{seed}"  # colours are the same for every seed
            folders.setdefault(name, []).append(output / own / path.stem)
            extract_to_folder(Extraction(giver), data, name_videos(data, root_of(path)), folders[name][-1])
    return folders


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a linear SVM reached on one set of features.

    Attributes:
        right: of each test video, whether its class was found.
        groups: of each test video.
        inside: accuracy over the folds of the training part, at the C that was chosen by it.
        cosine: mean over pairs of test videos; 1 where all have the same features.
        favourite: share of the test videos that the net itself puts into its most frequent class, or NaN.
        classes: of the training part.
    """

    right: np.ndarray
    groups: tuple[str, ...]
    inside: float
    cosine: float
    favourite: float
    classes: int


def score(train: pathlib.Path, test: pathlib.Path, seed: int) -> Scored:
    """Trains the SVM on a folder of features and tests it on another.

    Args:
        train, test: folders of features.
        seed: of the folds and of the solver.
    """
    from keras_res3d.data.split import fold_numbers
    from keras_res3d.tasks.transfer.splits import splits_of
    from keras_res3d.tasks.transfer.svm import FOLDS, GRID, choose_C, fit, turned

    features, (split,) = splits_of(train, test)
    layer = next(iter(features.values))
    rows, held_out = turned(features.values[layer][split.train.rows], features.values[layer][split.test.rows])
    C, labels = choose_C(rows, split.train, GRID, FOLDS, seed), np.asarray(split.train.labels)
    folds = fold_numbers(split.train.labels, split.train.keys, min(FOLDS, len(set(split.train.keys))), seed)
    inside = [fit(rows[folds != fold], labels[folds != fold], C, seed).predict(rows[folds == fold])
              == labels[folds == fold] for fold in np.unique(folds)]  # fmt: skip
    right = fit(rows, labels, C, seed).predict(held_out) == np.asarray(split.test.labels)
    values = features.values[layer][split.test.rows].astype(np.float64)
    total = float((values.sum(axis=0) ** 2).sum())
    favourite = float("nan")
    if "prob" in features.values:
        best = features.values["prob"][split.test.rows].argmax(axis=1)
        favourite = float(np.bincount(best).max() / len(best))
    return Scored(right, tuple(split.test.keys), float(np.concatenate(inside).mean()),
                  (total - len(values)) / (len(values) * (len(values) - 1)), favourite, len(set(labels)))  # fmt: skip


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """The interval of 95 % of a mean by Student's t, with as many values as there are seeds."""
    from scipy import stats

    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values) - half), float(np.mean(values) + half)


def over_seeds_and_groups(right: np.ndarray, groups: Sequence[str], draws: int = DRAWS) -> tuple[float, float]:
    """The interval of 95 % of a mean by a bootstrap that draws seeds and groups of videos, each with replacement.

    Args:
        right: what is averaged, `(seeds, videos)`.
        groups: of the videos.
        draws: how many.
    """
    rng = np.random.default_rng(0)
    names, of_group = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.stack([np.bincount(of_group, row, len(names)) for row in right.astype(np.float64)])
    sizes = np.bincount(of_group, minlength=len(names))
    means = []
    for _ in range(draws):
        seeds, drawn = rng.integers(len(sums), size=len(sums)), rng.integers(len(names), size=len(names))
        means.append(sums[seeds][:, drawn].sum(axis=1).mean() / sizes[drawn].sum())
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def guessing(videos: int, classes: int) -> tuple[float, float]:
    """Accuracies between which 95 % of those lie who guess the class of each video."""
    from scipy import stats

    low, high = stats.binom.interval(0.95, videos, 1 / classes)
    return float(low) / videos, float(high) / videos


def table(scored: dict[str, list[Scored]]) -> str:
    """Accuracies of every set and what the trained net gains over the others, as a Markdown table.

    Args:
        scored: for each set, a result for each seed.
    """
    from keras_res3d.tables import as_markdown

    right = {name: np.stack([each.right for each in own]).astype(np.float64) for name, own in scored.items()}
    right |= {f"trained - {name}": right["trained"] - right[name] for name in scored if name != "trained"}
    groups, rows = scored["trained"][0].groups, []
    for name, own in right.items():
        values = own.mean(axis=1)
        spans = [over_seeds(values) if len(values) > 1 else (np.nan, np.nan), over_seeds_and_groups(own, groups)]
        rows.append([name, *(f"{value:.3f}" for value in (*values, values.mean())),
                     *(f"{low:.3f} to {high:.3f}" for low, high in spans)])  # fmt: skip
    seeds = [f"run {number}" for number in range(1, len(next(iter(right.values()))) + 1)]
    return as_markdown(["features", *seeds, "mean", "95 % over seeds (t)", "95 % over seeds and videos"], rows)


def why(scored: dict[str, list[Scored]], own: Sequence[float]) -> str:
    """What may explain the accuracies, means over seeds, as a Markdown table.

    Args:
        scored: as of `table`.
        own: accuracy of each trained net on the test videos of the embedded data set.
    """
    from keras_res3d.tables import as_markdown

    def mean(name: str, what: str) -> str:
        return f"{np.mean([getattr(each, what) for each in scored[name]]):.3f}".replace("nan", "")

    rows = [[name, mean(name, "inside"), mean(name, "cosine"), mean(name, "favourite"),
             f"{np.mean(own):.3f}" if name == "trained" else ""] for name in scored]  # fmt: skip
    return as_markdown(["features", "accuracy inside the training part", "mean cosine of two test videos",
                        "share of its most frequent class", "accuracy on its own test data"], rows)  # fmt: skip


def own_accuracy(model: pathlib.Path) -> float:
    """Accuracy of a trained net on the test videos of the embedded data set."""
    import keras_res3d

    return float(keras_res3d.evaluate(model, "motion/test", clips=1).video_at_1)


def main(arguments=None) -> None:
    """Reads the flags, makes the sets and prints what they are worth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs=2, help="data sets to train and to test on: CSV files or folders")
    parser.add_argument("--output", required=True, help="folder to write into")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="of the nets and of the folds (%(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="of training (%(default)s)")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    scored: dict[str, list[Scored]] = {}
    own = []
    for seed in map(int, options.seeds.split(",")):
        for name, folders in make(options.lists, options.output, seed, options.epochs).items():
            scored.setdefault(name, []).append(score(*folders, seed))
            print(f"seed {seed}, {name}: {scored[name][-1].right.mean():.3f}", flush=True)
        own.append(own_accuracy(pathlib.Path(options.output) / f"nets-{seed}" / "trained"))
        print(f"seed {seed}, the trained net on its own test data: {own[-1]:.3f}", flush=True)
    videos = len(scored["colours"][0].right)
    low, high = guessing(videos, scored["colours"][0].classes)
    print(f"\n{videos} test videos; of those who guess 95 % get {low:.3f} to {high:.3f}")
    print("", table(scored), "", why(scored, own), sep="\n")


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    main()
