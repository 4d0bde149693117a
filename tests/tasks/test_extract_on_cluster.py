"""Extraction on a Ray cluster: the features of one host, bit for bit, whatever dies on the way."""

import sys

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import extract_features, read_features
from keras_res3d.commands.main import main
from keras_res3d.data.children import Outcome
from keras_res3d.data.open import read_data_set
from keras_res3d.data.types import VideoError
from keras_res3d.remote import StoreError
from keras_res3d.tasks import extract_on_cluster
from keras_res3d.tasks.clip_stream import Piece
from keras_res3d.tasks.extract import Extraction, extract_to_folder
from keras_res3d.tasks.extract_on_cluster import ClusterExtraction, Computed, _clips, _Computing, _shipped
from keras_res3d.tasks.feature_net import FeatureNet
from keras_res3d.tasks.named_videos import name_videos, unlabelled_videos

from ..ray_nodes import kill_actor, two_nodes
from ..users_models import NARROW, SAMPLING, SHAPE

LAYERS = ("pool5", "prob")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a net, with its card."""
    keras.utils.set_random_seed(0)
    model = keras_res3d.build_model(NARROW, input_shape=SHAPE)
    folder = tmp_path_factory.mktemp("run")
    keras_res3d.save_model(model, folder / "model.keras", labels="abc", sampling=SAMPLING)
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    """A list of 16 videos of different lengths; the fourth is bad."""
    folder, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for number in range(16):
        make_video(folder / f"v{number:02d}.mp4", rng.integers(0, 256, (10 + 20 * (number % 5), 36, 48, 3), np.uint8))
    (folder / "v03.mp4").write_bytes(b"no video")
    lines = ["path,label", *(f"v{number:02d}.mp4,{'xy'[number % 2]}" for number in range(16))]
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


@pytest.fixture
def without_ray(monkeypatch):
    """The cluster's work in this process, with the results that leave a task pickled by nobody."""

    def stream(items, each, workers, address, network):
        run = network.make(*network.arguments)
        rows = [row for item in items for row in each(item)]
        for start in range(0, len(rows), network.rows):
            yield from (outcome.checked() for outcome in run(rows[start : start + network.rows]))

    monkeypatch.setattr(extract_on_cluster, "stream", stream)
    monkeypatch.setattr(extract_on_cluster, "in_child", lambda function, item: Outcome(function(item)))


def same(one, other):
    assert (one.ids, one.labels, one.groups) == (other.ids, other.labels, other.groups)
    np.testing.assert_array_equal(one.seconds, other.seconds)
    for name, values in one.values.items():
        np.testing.assert_array_equal(values, other.values[name])


def extract(kind, run, videos, output, progress=None, **options):
    data, extraction = read_data_set(videos), kind(FeatureNet(run, LAYERS), batch_size=3, **options)
    return extract_to_folder(extraction, data, name_videos(data, videos.parent), output, progress)


def test_the_features_are_those_of_one_host(run, videos, tmp_path, without_ray):
    for number, options in enumerate(({}, {"per_clip": True, "overlap": 2})):
        here = extract(Extraction, run, videos, tmp_path / f"here{number}", workers=1, **options)
        there = extract(ClusterExtraction, run, videos, tmp_path / f"there{number}", **options)
        assert here == there and here.done == 15 and len(here.bad) == 1
        same(read_features(tmp_path / f"here{number}"), read_features(tmp_path / f"there{number}"))
        names = ("features.json", "bad_videos.csv")
        for name in names:
            assert (tmp_path / f"here{number}" / name).read_bytes() == (tmp_path / f"there{number}" / name).read_bytes()


def test_a_second_run_does_what_is_missing(run, videos, tmp_path, without_ray):
    few = tmp_path / "few.csv"
    few.write_text("path,label\n" + "".join(f"{videos.parent}/v{number:02d}.mp4,x\n" for number in (0, 1, 2)))
    options = {"labels": "abc", "sampling": SAMPLING, "root": videos.parent}
    extract_features(run, few, LAYERS, tmp_path / "out", **options)
    seen = []
    report = extract(ClusterExtraction, run, videos, tmp_path / "out", lambda video, *_: seen.append(video.number))
    assert seen == list(range(3, 16)) and (report.before, report.done) == (3, 12)


def test_an_export_goes_to_the_cluster(run, tmp_path):
    path = tmp_path / "net.tflite"
    model = keras.models.load_model(run / "model.keras")
    keras_res3d.export_model(model, path, "litert", card=keras_res3d.cards.read_card(run))
    net = FeatureNet(path)
    computing = _Computing(_shipped(net), net.card, tuple(net.widths), net.engine, net.digest, 2)
    clips = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
    pieces = [Outcome(Piece(number, clip)) for number, clip in enumerate(clips)]
    lost, end = Outcome(error="s3://b", lost=True), Outcome(Piece(2))
    found = computing([*pieces, lost, end])
    assert found[3] == lost and found[4] == Outcome(Computed(Piece(2)))
    np.testing.assert_array_equal(np.stack([each.value.scores for each in found[:3]]), net(clips)[1])
    with pytest.raises(ValueError, match="other weights"):
        _Computing(_shipped(net), net.card, tuple(net.widths), net.engine, "0" * 64, 2)
    net.path = None  # as of a runner that the caller has opened
    with pytest.raises(ValueError, match="its file is not known"):
        _shipped(net)


def test_what_goes_wrong_in_a_child(videos, monkeypatch):
    data = unlabelled_videos([str(videos.parent / f"v{number:02d}.mp4") for number in range(16)])
    item = (9, data.alone(9), 0)
    for outcome, expected in (
        (Outcome(error="crashed the process", crashed=True), f"{videos.parent}/v09.mp4: crashed the process"),
        (Outcome(error="b.mp4: is bad"), "b.mp4: is bad"),
    ):
        monkeypatch.setattr(extract_on_cluster, "in_child", lambda *_, outcome=outcome: outcome)
        [found] = _clips(SAMPLING, 8, item)
        number, _, _, error = found.value
        assert number == 9 and isinstance(error, VideoError) and str(error) == expected
    monkeypatch.setattr(extract_on_cluster, "in_child", lambda *_: Outcome(error="s3://b", lost=True))
    [found] = _clips(SAMPLING, 8, item)
    with pytest.raises(StoreError, match="s3://b"):
        found.checked()


def test_words_of_the_engine(run, videos, tmp_path, capsys, monkeypatch):
    flags = ["extract", str(run), "--data", str(videos), "--output", str(tmp_path)]
    for words, message in (
        (["--engine", "ray,local"], "--engine is ray,local; expected one of keras, bfloat16, one of local, ray"),
        (["--engine", "float16"], "--engine is float16"),
        (["--ray_address", "auto"], "--ray_address is for --engine ray"),
        (["--engine", "bfloat16,local", "--actors", "2"], "--actors is for --engine ray"),
    ):
        assert main([*flags, *words]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*flags, "--engine", "ray,bfloat16"]) == 1
    assert "pip install 'keras-res3d[ray]'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_node_and_an_actor_that_die_lose_nothing(run, videos, tmp_path):
    pytest.importorskip("ray.data")
    here = extract(Extraction, run, videos, tmp_path / "here", workers=1)
    seen, killed = [], []
    with two_nodes() as nodes:

        def kill(video, done, total):
            seen.append(video.number)
            if done == 1:
                killed.append(kill_actor())
            if done == 4:
                nodes.kill_one()

        there = extract(ClusterExtraction, run, videos, tmp_path / "there", kill, actors=2)
    assert killed == [True] and seen == list(range(16)) and there == here
    same(read_features(tmp_path / "here"), read_features(tmp_path / "there"))
