"""The three networks of S-CNN: their heads, and training from stage to stage on made videos."""

import json

import keras
import numpy as np
import pytest

from keras_res3d.data.clips import Sampling
from keras_res3d.export.measure import peak_memory_bytes
from keras_res3d.inference.classifier import load_model
from keras_res3d.nets.architecture import Architecture
from keras_res3d.tasks.detection.made import MadeVideos
from keras_res3d.tasks.detection.networks import segment_net
from keras_res3d.tasks.detection.run import detect_actions, load_detector
from keras_res3d.tasks.detection.segment_data import Cutting
from keras_res3d.tasks.detection.stages import STAGES
from keras_res3d.tasks.detection.train import train_stage
from keras_res3d.training.folder import RunFolder, state_of
from keras_res3d.training.recipes import RECIPES, TrainingOptions, recipe

SAMPLING = Sampling(frames=16, stride=1, resize=(32, 32), crop=(32, 32))
CUTTING = Cutting((16, 32, 64))
SMALL = Architecture("small", width=2, blocks=(1, 1, 1, 1, 1), shortcut=None, frames=16, crop=32)


def _options(**changes):
    return TrainingOptions(**{"iterations": 2, "batch_size": 4, "mirror": False, "learning_rate": 0.02, **changes})


def test_the_head_sees_two_moments_of_512_values():
    net = segment_net("res3d18", 21)
    assert net.input_shape == (None, 16, 112, 112, 3) and net.get_layer("pool5").output.shape == (None, 2, 1, 1, 512)
    assert net.get_layer("flatten").output.shape == (None, 1024) and net.output_shape == (None, 21)
    reversed_in_time = keras.Model(net.get_layer("pool5").output, net.output)
    values = np.random.default_rng(0).normal(0, 9, (1, 2, 1, 1, 512)).astype(np.float32)
    assert not np.allclose(reversed_in_time(values), reversed_in_time(values[:, ::-1]), atol=1e-3)


def test_c3d_keeps_its_own_classifier():
    c3d = Architecture("c3d", width=2, blocks=(1, 1, 2, 2, 2), multipliers=(1, 2, 4, 8, 8), strides=((1, 1, 1),) * 5,
                       conv1=3, shortcut=None, dense=(8, 8), frames=16, batch_norm_momentum=None, crop=32,
                       pools=((1, 2, 2), *((2, 2, 2),) * 4))  # fmt: skip
    net = segment_net(c3d, 3, (16, 32, 32, 3))
    assert net.output_shape == (None, 3) and not [layer for layer in net.layers if layer.name == "prob2"]
    assert sum(isinstance(layer, keras.layers.Dense) for layer in net.layers) == 3


@pytest.mark.slow
def test_c3d_learns_and_searches_at_full_size(tmp_path):
    """The paper's comparison: two fully connected layers of 4096 on clips of 16 x 112 x 112."""
    videos = MadeVideos(1, actions=2, seed=2, size=112)
    for name, stage in (("proposal", "proposal"), ("localization", "classification")):
        options = recipe(STAGES[stage].recipe, iterations=1, batch_size=2)
        train_stage(stage, videos, videos.annotations(), tmp_path / name, net="c3d", options=options, cutting=CUTTING)
    detector = load_detector(tmp_path)
    net = detector.localization.model
    assert net.input_shape == (None, 16, 112, 112, 3) and net.count_params() > 78_000_000
    assert [layer.units for layer in net.layers if isinstance(layer, keras.layers.Dense)] == [4096, 4096, 9]
    with videos.open(0) as video:
        found = detect_actions(detector, video, proposal_score=0, nms=None, batch_size=4)
    assert len(found) <= len(CUTTING.windows(video.num_frames)) and np.isfinite(found.scores).all()
    assert peak_memory_bytes() < 24 * 2**30


def test_every_stage_has_a_recipe():
    assert all(row.recipe in RECIPES and row.after in (None, *STAGES) for row in STAGES.values())


@pytest.fixture(scope="module")
def videos():
    return MadeVideos(2, actions=3, seed=2)


@pytest.fixture(scope="module")
def runs(videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    more = {"net": SMALL, "sampling": SAMPLING, "cutting": CUTTING}
    # The last stage hardly learns, so that it shows where it began.
    stages = (("proposal", None, 0.02), ("classification", None, 0.02),
              ("localization", folder / "classification", 1e-12))  # fmt: skip
    histories = {}
    for stage, start, rate in stages:
        options = _options(learning_rate=rate, weight_decay=0.0)
        histories[stage] = train_stage(stage, videos, videos.annotations(), folder / stage, start=start,
                                       options=options, **more)  # fmt: skip
    return folder, histories


def test_each_stage_writes_a_network(runs, videos):
    folder, histories = runs
    for stage, history in histories.items():
        found = load_model(folder / stage)
        binary = stage == "proposal"
        assert found.card.labels == (("background", "action") if binary else ("background", *videos.classes))
        assert np.isfinite(history["loss"]).all() and found.card.architecture.width == 2
        scores = found.predict(np.zeros((1, 16, 32, 32, 3), np.uint8))
        assert scores.shape == (1, 2 if binary else 9) and scores.sum() == pytest.approx(1, abs=1e-5)
    card = json.loads((folder / "localization" / "model.json").read_text())
    assert card["training"]["overlap_loss"] == 1 and card["training"]["windows"]["lengths"] == [16, 32, 64]
    assert card["training"]["finished"] and card["training"]["stage"] == "localization"
    assert not (folder / "localization" / "checkpoint.npz").exists()


def test_localization_starts_from_the_classification_network(runs):
    folder, _ = runs
    before, after = (load_model(folder / stage).model for stage in ("classification", "localization"))
    for mine, given in zip(after.trainable_variables, before.trainable_variables, strict=True):
        assert np.allclose(mine.numpy(), given.numpy(), atol=1e-7)


def test_wrong_calls(runs, videos, tmp_path):
    folder, _ = runs
    truth = videos.annotations()
    for words, stage, more in (
        ("the stage is 'x'", "x", {}),
        ("starts from the classification network", "localization", {}),
        ("tells apart background, action", "localization", {"start": folder / "proposal"}),
        ("mixup", "localization", {"start": folder / "classification", "options": _options(mixup=0.2)}),
    ):
        with pytest.raises(ValueError, match=words):
            train_stage(stage, videos, truth, tmp_path, **{"cutting": CUTTING, "options": _options(), **more})


@pytest.mark.slow
def test_a_run_by_the_overlap_loss_goes_on_bit_for_bit(runs, videos, tmp_path, monkeypatch):
    """Training is stopped at the end of its second epoch, and goes on to the weights of a run that was not."""
    more = {"start": runs[0] / "classification", "cutting": CUTTING, "options": _options(iterations=9)}
    truth = videos.annotations()
    train_stage("localization", videos, truth, tmp_path / "whole", **more)
    kept, epochs = RunFolder.on_epoch_end, []

    def stop(self, epoch, logs=None):
        kept(self, epoch, logs)
        epochs.append(epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "on_epoch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        train_stage("localization", videos, truth, tmp_path / "parts", **more)
    assert state_of(tmp_path / "parts") == "unfinished"
    train_stage("localization", videos, truth, tmp_path / "parts", resume=True, **more)
    assert epochs[:2] == [0, 1] and epochs[-1] == 2 and len(epochs) in (3, 4)
    one, two = (load_model(tmp_path / name).model for name in ("whole", "parts"))
    for first, second in zip(one.variables, two.variables, strict=True):
        assert np.array_equal(first.numpy(), second.numpy()), first.path
