"""What holds for the runner of every format: threads may share it."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.export.formats import FORMATS, load_runner
from keras_res3d.export.formats.base import Request
from keras_res3d.export.graph import ServingGraph

CARD = ModelCard("tiny", ("a", "b", "c"), Sampling(2, 1, (8, 8), (8, 8)))


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(0)
    clip = keras.Input((2, 8, 8, 3))
    x = keras.layers.Conv3D(4, 3, padding="same", activation="relu")(clip)
    x = keras.layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, keras.layers.Dense(3)(x), name="tiny")


def written(model, format, folder, **changes):
    """The path of an export, written without the checks of `export_model`."""
    row, path = FORMATS[format], folder / f"net{FORMATS[format].suffix}"
    request = Request(**{"quantize": "none", "calibration": None, "integer_io": False, "card": CARD} | changes)
    try:
        row.write(ServingGraph(model, (2, 8, 8, 3), row.form), path, request)
    except ImportError as error:
        pytest.skip(str(error))
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_threads_share_a_runner(format, tiny, tmp_path):
    try:
        runner = load_runner(written(tiny, format, tmp_path))
    except ImportError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (1 + n % 3, 2, 8, 8, 3), np.uint8) for n in range(20)]
    kept = [batch.copy() for batch in batches]
    alone = [runner(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda n: runner(batches[n % 20]), range(400)))
    wrong = [n for n, scores in enumerate(together) if not np.allclose(scores, alone[n % 20], rtol=1e-5, atol=1e-5)]
    assert not wrong
    assert len({scores.tobytes() for scores in alone}) == 20  # answers that could be mixed up
    for batch, before in zip(batches, kept, strict=True):
        np.testing.assert_array_equal(batch, before)
