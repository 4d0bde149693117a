"""The chain from exports: the same moments as from Keras models, in the windows of the training."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_res3d.cards import card_of, save_model
from keras_res3d.data.clips import Sampling
from keras_res3d.export.export import export_model
from keras_res3d.nets.architecture import Architecture
from keras_res3d.tasks.detection.made import MadeVideos
from keras_res3d.tasks.detection.networks import segment_net
from keras_res3d.tasks.detection.run import detect_actions, load_detector

SMALL = Architecture("small", width=2, blocks=(1, 1, 1, 1), frames=16, crop=32, batch_norm_momentum=0.9)
SAMPLING = Sampling(frames=16, stride=1, resize=(32, 32), crop=(32, 32))
LABELS = {"proposal": ("background", "action"), "localization": ("background", "run", "dive")}


@pytest.fixture(scope="module")
def video():
    return MadeVideos(1, actions=2, seed=4).open(0)


@pytest.fixture(scope="module")
def networks(tmp_path_factory, video):
    """(net, card) of both networks, and the scores that they give the video."""
    folder, nets = tmp_path_factory.mktemp("networks"), {}
    for seed, (stage, labels) in enumerate(LABELS.items()):
        keras.utils.set_random_seed(seed)
        net = segment_net(SMALL, len(labels), (16, 32, 32, 3))
        # Scores of a random net are all alike; these differ.
        head = net.layers[-2]
        head.kernel.assign(np.random.default_rng(seed).normal(0, 1, head.kernel.shape))
        card = dataclasses.replace(card_of(net, labels, SAMPLING), training={"windows": {"lengths": [16, 48]}})
        assert card.architecture == dataclasses.replace(SMALL, name=card.architecture.name, classes=len(labels))
        save_model(net, folder / f"{stage}.keras", card)
        nets[stage] = net, card
    return nets, _scores(detect_actions(load_detector(folder), video, proposal_score=0, nms=None))


def _scores(found):
    """Score of each (begin, end, label)."""
    return {(*span, label): score for span, label, score
            in zip(found.spans.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)}  # fmt: skip


@pytest.mark.parametrize(("name", "quantize", "form", "tolerance"), [
    ("net.tflite", "none", "2d", 1e-4), ("net.tflite", "int8", "2d", 0.2), ("net.onnx", "none", "2d", 1e-4),
    pytest.param("net.xml", "none", "2d", 1e-4, marks=pytest.mark.slow),
    pytest.param("net.xml", "int8", "3d", 0.2, marks=pytest.mark.slow),
])  # fmt: skip
def test_exports_find_what_keras_finds(networks, video, tmp_path, name, quantize, form, tolerance):
    formats = {"tflite": ("litert", ()), "onnx": ("onnx", ("onnx", "tf2onnx", "onnxruntime")),
               "xml": ("openvino", ("openvino", "nncf"))}  # fmt: skip
    suffix = name.partition(".")[2]
    format, needed = formats[suffix]
    for module in needed:
        pytest.importorskip(module)
    nets, expected = networks
    clips = np.stack(list(video.clips([range(first, first + 16) for first in range(0, 96, 8)])))
    for stage, (net, card) in nets.items():
        report = export_model(net, tmp_path / f"{stage}.{suffix}", format, quantize=quantize, form=form, card=card,
                              min_agreement=0, check_clips=clips,
                              calibration=clips if quantize == "int8" else None)  # fmt: skip
        assert report.form == form
    detector = load_detector(tmp_path)
    assert detector.cutting.lengths == (16, 48) and detector.classes == ("run", "dive")
    found = _scores(detect_actions(detector, video, proposal_score=0, nms=None))
    both = set(expected) & set(found)
    assert len(both) >= 0.9 * len(expected) > 5
    assert max(abs(expected[key] - found[key]) for key in both) < tolerance
