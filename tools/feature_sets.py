"""Makes three sets of features of the same videos: of a trained net, of a random net, and of colours alone.

    python tools/feature_sets.py fight/train.csv fight/test.csv --output features --seed 0

The net is trained on the embedded data set, in which only motion tells the classes; the random net is the same net
before its training. Colour histograms know nothing of motion or of shapes: what a classifier reaches on them is what
colours give away. Each list becomes a folder of each set, such as features/colours/train.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import pathlib
import sys

import numpy as np

NET, WIDTH, SIZE, FRAMES = "res3d18", 16, 32, 8
BINS = 8  # of each of the three colours
LAYER = "colours"


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
    import keras

    import keras_res3d

    random, trained = folder / "random.keras", folder / "trained"
    sampling = keras_res3d.Sampling(FRAMES, 2, (SIZE, SIZE), (SIZE, SIZE))
    data_set = keras_res3d.read_data_set("motion")
    keras.utils.set_random_seed(seed)
    net = keras_res3d.build_model(dataclasses.replace(keras_res3d.ZOO[NET], width=WIDTH),
                                  input_shape=(FRAMES, SIZE, SIZE, 3), classes=len(data_set.classes))  # fmt: skip
    if not random.exists():
        keras_res3d.save_model(net, random, labels=data_set.classes, sampling=sampling)
    if not (trained / "model.keras").exists():
        options = keras_res3d.TrainingOptions(epochs=epochs, batch_size=32, learning_rate=0.05, seed=seed)
        keras_res3d.train(net, data_set, sampling, trained, options)
    return {"random": random, "trained": trained / "model.keras"}


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
    givers = {name: FeatureNet(load_model(file), ["pool5"]) for name, file in files.items()}
    givers["colours"] = ColourHistograms(givers["random"].card)
    folders: dict[str, list[pathlib.Path]] = {}
    for path in map(pathlib.Path, lists):
        data = read_data_set(path)
        for name, giver in givers.items():
            own = name if name == "colours" else f"{name}-{seed}"  # colours are the same for every seed
            folders.setdefault(name, []).append(output / own / path.stem)
            extract_to_folder(Extraction(giver), data, name_videos(data, root_of(path)), folders[name][-1])
    return folders


def main(arguments=None) -> None:
    """Reads the flags and makes the sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="+", help="data sets: CSV files or folders of class folders")
    parser.add_argument("--output", required=True, help="folder to write into")
    parser.add_argument("--seed", type=int, default=0, help="of the nets (%(default)s)")
    parser.add_argument("--epochs", type=int, default=6, help="of training (%(default)s)")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, folders in make(options.lists, options.output, options.seed, options.epochs).items():
        print(f"{name}: {', '.join(map(str, folders))}")


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
    main()
