"""Made scores for tests of what follows from them."""

import numpy as np

from keras_res3d.scores import Scores


def two_classes(logits=False):
    """60 videos of 2 clips, 20 of them of class "yes", 15 groups of 4 videos."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3 // 2
    margin = np.repeat(rng.normal(1.5 * truth - 0.7, 1), 2) + rng.normal(0, 0.3, 120)
    outputs = np.stack([-margin / 2, margin / 2], axis=1) + 3
    share = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    paths = tuple(f"{number}.mp4" for number in range(60))
    groups = tuple(f"g{number // 4}" for number in range(60))
    return Scores(("no", "yes"), outputs if logits else share, np.repeat(np.arange(60), 2), truth, {}, paths, groups)
