"""MODEL as the name of published weights: the file of the cache, and the clips and the preprocessing of its row."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_res3d import each_video, extract_features, read_features
from keras_res3d.commands.main import main
from keras_res3d.data.clips import Sampling
from keras_res3d.data.labels import label_names
from keras_res3d.data.open import open_video
from keras_res3d.nets.build import build_graph
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights import catalog, store
from keras_res3d.weights.catalog import WeightsEntry
from keras_res3d.weights.load import load_weights

from ..weights.formula import caffe_layers, tensor
from ..weights.test_pretrained import as_state_dict
from ..weights.writers import caffemodel_bytes, write_pth

NET = dataclasses.replace(ZOO["sr18"], name="tiny", width=2, blocks=(1, 1, 1, 1), frames=4, crop=32, classes=101)
IDENTITY = dataclasses.replace(NET, name="tiny_identity", shortcut="identity")
WHERE = {"labels": "ucf101", "classes": 101, "licence": "MIT", "trained_on": "ucf101 split 1", "frames": 4}
# Neither has the clips that another's defaults would give.
ROWS = {
    "tiny/caffe": WeightsEntry("tiny", "caffe", "https://nowhere.invalid/net.caffemodel", "caffemodel", stride=3,
                               resize=(40, 52), crop=(32, 32), **WHERE),
    "tiny_identity/torch": WeightsEntry("tiny_identity", "torch", "https://nowhere.invalid/net.pth", "pth", stride=1,
                                        fps=12.5, resize=(36, 44), crop=(32, 32), preprocessing="torchvision", **WHERE),
}  # fmt: skip


def _pixels(clips, mode):
    """The preprocessing as it is published, written out."""
    if mode == "res3d":
        return clips[..., ::-1].astype(np.float32) - 128
    mean, deviation = np.array([0.43216, 0.394666, 0.37645]), np.array([0.22803, 0.22145, 0.216989])
    return ((clips / 255 - mean) / deviation).astype(np.float32)


@pytest.fixture(params=ROWS)
def published(request, tmp_path, monkeypatch):
    """A row whose original lies in the cache, and the same net by another way."""
    row = ROWS[request.param]
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv(store.MIRROR_VARIABLE, raising=False)
    monkeypatch.setattr(catalog, "ROWS", tuple(ROWS.values()))
    for architecture in (NET, IDENTITY):
        monkeypatch.setitem(ZOO, architecture.name, architecture)
    path = store.original_path(row)
    path.parent.mkdir(parents=True)
    net = build_graph(ZOO[row.net])
    if row.format == "caffemodel":
        path.write_bytes(caffemodel_bytes(caffe_layers(NET)))
    else:
        write_pth(path, {name: tensor(name, array.shape) for name, array in as_state_dict(net).items()})
    load_weights(net, path)
    return row, net


@pytest.fixture
def video(tmp_path, make_video):
    rng = np.random.default_rng(0)
    frames = np.clip(rng.normal(np.linspace(30, 220, 40)[:, None, None, None], 40, (40, 48, 64, 3)), 0, 255)
    (tmp_path / "videos").mkdir()
    make_video(tmp_path / "videos" / "0.mp4", frames.astype(np.uint8))
    return tmp_path / "videos" / "0.mp4"


@pytest.fixture
def expected(published, video):
    """pool5 and prob of the video, clip by clip, with the row's numbers and nothing else."""
    row, net = published
    top, left = ((whole - part) // 2 for whole, part in zip(row.resize, row.crop, strict=True))
    with open_video(video, fps=row.fps, size=row.resize) as opened:
        frames = np.stack([frame for _, frame in opened.frames(range(opened.num_frames))])
    frames = frames[:, top : top + row.crop[0], left : left + row.crop[1]]
    span = (row.frames - 1) * row.stride + 1
    starts = range(0, len(frames) - span + 1, row.frames * row.stride)
    clips = np.stack([frames[start : start + span : row.stride] for start in starts])
    assert len(clips) > 2
    several = keras.Model(net.input, [net.get_layer(name).output for name in ("pool5", "prob")])
    found = several.predict(_pixels(clips, row.preprocessing), verbose=0)
    return dict(zip(("pool5", "prob"), found, strict=True))


def test_features_by_name_are_those_of_the_row(published, video, expected):
    row, _ = published
    features = extract_features(row.name, [video], ["pool5", "prob"], per_clip=True, normalize=False)
    for layer, right in expected.items():
        np.testing.assert_allclose(features.values[layer], right, atol=1e-4 * np.abs(right).max())
    assert Sampling.from_dict(features.facts["sampling"]) == Sampling(**row.sampling_fields())
    assert features.facts["model"]["net"] == row.net and features.facts["trained_on"] == "ucf101 split 1"
    assert tuple(features.facts["classes"]) == label_names("ucf101")


def test_the_command_takes_the_name(published, video, expected, tmp_path, capsys):
    row, _ = published
    words = ["extract", row.name, "--data", str(video.parent), "--unlabelled", "--output", str(tmp_path / "out")]
    assert main([*words, "--layers", "prob", "--show_predictions"]) == 0
    mean = expected["prob"].mean(axis=0)
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split(maxsplit=1)[1] for line in lines[lines.index("0.mp4") + 1 :][:5]]
    assert shown == [label_names("ucf101")[i] for i in np.argsort(-mean)[:5]]
    features = read_features(tmp_path / "out")
    np.testing.assert_allclose(features.values["prob"][0], mean / np.linalg.norm(mean), atol=1e-4)
    assert store.converted_path(row).exists()


def test_another_clip_can_be_asked_for(published, video):
    row, _ = published
    (found,) = each_video(row.name, [video], ["prob"], sampling=Sampling(**{**row.sampling_fields(), "stride": 2}))
    (usual,) = each_video(row.name, [video], ["prob"])
    assert not np.allclose(found.scores, usual.scores, atol=1e-4)
