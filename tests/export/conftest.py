"""A narrow net, its card, and exports of it that several modules look at."""

import numpy as np
import pytest

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling
from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.samples import embedded_clips

from .nets import small_net

CARD = ModelCard("sr18", ("a", "b", "c"), Sampling(4, 2, (36, 48), (32, 32)), licence="CC0", trained_on="made up")


@pytest.fixture(scope="session")
def card():
    return CARD


@pytest.fixture(scope="session")
def model():
    return small_net()


@pytest.fixture(scope="session")
def clips(model):
    """uint8 clips that the net is sure about: what rounding may change is no decision."""
    pixels = embedded_clips(CARD.sampling, 96, "test")
    scores = np.sort(model.predict_on_batch(preprocess_input(pixels)), -1)
    return pixels[np.argsort(scores[:, -2] - scores[:, -1])[:24]]


@pytest.fixture(scope="session")
def exported(model, card, clips, tmp_path_factory):
    """`exported(format, quantize="none", **options)` -> (path, report), each made once."""
    from keras_res3d.export.export import export_model
    from keras_res3d.export.formats import FORMATS

    done = {}

    def export(format, quantize="none", **options):
        key = (format, quantize, *sorted(options.items()))
        if key not in done:
            path = tmp_path_factory.mktemp("export") / f"net{FORMATS[format].suffix}"
            report = export_model(
                model, path, format, quantize, calibration=clips, card=card, check_clips=clips, **options
            )
            done[key] = path, report
        return done[key]

    return export
