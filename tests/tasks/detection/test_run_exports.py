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

SMALL = Architecture("small", width=2, blocks=(1, 1, 1, 1), frames=16, crop=32)
SAMPLING = Sampling(frames=16, stride=1, resize=(32, 32), crop=(32, 32))


@pytest.fixture(scope="module")
def video():
    return MadeVideos(1, actions=2, seed=4).open(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, video):
    """Both networks as Keras models, in LiteRT's float32 and int8, in folders keras, float32 and int8."""
    folder = tmp_path_factory.mktemp("networks")
    clips = np.stack(list(video.clips([range(first, first + 16) for first in range(0, 96, 8)])))
    for seed, (stage, labels) in enumerate({"proposal": ("background", "action"),
                                            "localization": ("background", "run", "dive")}.items()):  # fmt: skip
        keras.utils.set_random_seed(seed)
        net = segment_net(SMALL, len(labels), (16, 32, 32, 3), batch_norm_momentum=0.9)
        # Scores of a random net are all alike; these differ.
        head = net.layers[-2]
        head.kernel.assign(np.random.default_rng(seed).normal(0, 1, head.kernel.shape))
        card = dataclasses.replace(card_of(net, labels, SAMPLING), training={"windows": {"lengths": [16, 48]}})
        assert card.architecture == dataclasses.replace(SMALL, name=card.architecture.name, classes=len(labels),
                                                        batch_norm_momentum=0.9)  # fmt: skip
        (folder / "keras").mkdir(exist_ok=True)
        save_model(net, folder / "keras" / f"{stage}.keras", card)
        for quantize, name in (("none", "float32"), ("int8", "int8")):
            calibration = clips if quantize == "int8" else None
            export_model(net, folder / name / f"{stage}.tflite", "litert", quantize=quantize, card=card,
                         min_agreement=0, check_clips=clips, calibration=calibration)  # fmt: skip
    return folder


@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 1e-4), ("int8", 0.2)])
def test_exports_find_what_keras_finds(folder, video, kind, tolerance):
    detector = load_detector(folder / kind)
    assert detector.cutting.lengths == (16, 48) and detector.classes == ("run", "dive")
    expected = detect_actions(load_detector(folder / "keras"), video, proposal_score=0, nms=None)
    found = detect_actions(detector, video, proposal_score=0, nms=None)
    by_window = [{(*span, label): score for span, label, score
                  in zip(map(tuple, each.spans.tolist()), each.labels.tolist(), each.scores.tolist(), strict=True)}
                 for each in (expected, found)]  # fmt: skip
    both = set(by_window[0]) & set(by_window[1])
    assert len(both) >= 0.9 * len(by_window[0]) > 5
    assert max(abs(by_window[0][key] - by_window[1][key]) for key in both) < tolerance
