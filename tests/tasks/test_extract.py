"""Features of videos: the same as by hand, whole after bad videos, kills and second runs, shared by two processes."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading
import tracemalloc
import warnings

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import each_video, extract_features, read_features
from keras_res3d.data.clips import Sampling
from keras_res3d.data.evaluation import evaluation_clips, evaluation_places
from keras_res3d.data.open import open_video, read_data_set
from keras_res3d.data.types import Example
from keras_res3d.tasks import shared_folder
from keras_res3d.tasks.extract import Extraction
from keras_res3d.tasks.feature_net import FeatureNet, flattened, in_bfloat16

from ..users_models import MODELS, NARROW, SAMPLING, SHAPE, nested

# Videos by name: how many frames. A clip of 4 frames with stride 2 spans 7, and the next begins 8 later.
LENGTHS = {"a/short.mp4": 3, "a/one clip.mp4": 14, "a/two ü.mp4": 15, "b/five.mp4": 41, "b/long.mp4": 90}
CLIPS = {"a/short.mp4": 1, "a/one clip.mp4": 1, "a/two ü.mp4": 2, "b/five.mp4": 5, "b/long.mp4": 11}
LAYERS = ("res5b", "pool5", "prob")


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    """A list of five videos of two classes, and their folder."""
    folder, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for number, (name, frames) in enumerate(LENGTHS.items()):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        level = rng.normal(60 + 30 * number, 40, (frames, 36, 48, 3))
        make_video(path, np.clip(level, 0, 255).astype(np.uint8))
    lines = [f"{name},{name[0]},g{number}" for number, name in enumerate(LENGTHS)]
    (folder / "list.csv").write_text("\n".join(["path,label,group", *lines]) + "\n")
    return folder / "list.csv"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a net whose classes differ, with its card."""
    keras.utils.set_random_seed(0)
    model = keras_res3d.build_model(NARROW, input_shape=SHAPE)
    head = model.get_layer("fc8")
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape) / 20)
    folder = tmp_path_factory.mktemp("run")
    keras_res3d.save_model(model, folder / "model.keras", labels="abc", sampling=SAMPLING)
    return folder


@pytest.fixture(scope="module")
def expected(run, videos):
    """Each video's features clip by clip, as Keras' own API gives them."""
    model = keras.models.load_model(run / "model.keras")
    several = keras.Model(model.input, [model.get_layer(name).output for name in LAYERS])
    found = {}
    for name in LENGTHS:
        with open_video(videos.parent / name) as video:
            clips = np.stack(list(evaluation_clips(video, SAMPLING, step=8)))
            places = evaluation_places(video, SAMPLING, step=8)
            seconds = [(video.seconds[place[0]], video.seconds[place[-1]]) for place in places]
        outputs = several.predict(keras_res3d.preprocess_input(clips), verbose=0)
        found[name] = dict(zip(LAYERS, outputs, strict=True)), np.array(seconds)
    return found


def by_hand(maps):
    """A layer's output as Caffe flattens it: channel by channel, each by time, height and width."""
    if maps.ndim == 2:
        return maps
    return np.array([[clip[t, y, x, c] for c in range(clip.shape[3]) for t in range(clip.shape[0])
                      for y in range(clip.shape[1]) for x in range(clip.shape[2])] for clip in maps])  # fmt: skip


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_features_are_those_of_keras_own_api(run, videos, expected):
    features = extract_features(run, videos, LAYERS, batch_size=4)
    assert features.ids == tuple(LENGTHS) and features.labels == ("a", "a", "a", "b", "b")
    assert features.groups == ("g0", "g1", "g2", "g3", "g4")
    assert list(features.values) == list(LAYERS) and features.values["res5b"].shape == (5, 128)
    for row, name in enumerate(LENGTHS):
        outputs, seconds = expected[name]
        assert features.seconds[row].tolist() == [seconds[0][0], seconds[-1][1]]
        for layer in LAYERS:
            right = unit(by_hand(outputs[layer]).mean(axis=0))
            np.testing.assert_allclose(features.values[layer][row], right, atol=2e-5)


def test_per_clip_keeps_each_clip_with_its_time(run, videos, expected):
    features = extract_features(run, videos, ["pool5", "prob"], per_clip=True, normalize=False, batch_size=4)
    assert {name: features.ids.count(name) for name in LENGTHS} == CLIPS
    start = 0
    for name, count in CLIPS.items():
        outputs, seconds = expected[name]
        np.testing.assert_allclose(features.values["prob"][start : start + count], outputs["prob"], atol=2e-5)
        np.testing.assert_array_equal(features.seconds[start : start + count], seconds)
        start += count
    normal = extract_features(run, videos, "pool5", per_clip=True).values["pool5"]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 6])
def test_a_video_too_short_for_a_clip_gives_one(run, tmp_path, make_video, frames):
    """A clip of 4 frames with stride 2 spans 7; what the video lacks is its last frame."""
    pixels = np.random.default_rng(0).integers(0, 256, (frames, 36, 48, 3), np.uint8)
    make_video(tmp_path / "short.mp4", pixels)
    features = extract_features(run, [tmp_path / "short.mp4"], "pool5", tmp_path / "out", per_clip=True)
    with open_video(tmp_path / "short.mp4", size=SAMPLING.resize) as video:
        found = [frame for _, frame in video.frames(range(video.num_frames))]
    top, left = ((whole - part) // 2 for whole, part in zip(SAMPLING.resize, SAMPLING.crop, strict=True))
    clip = np.stack([found[min(number, frames - 1)] for number in (0, 2, 4, 6)])
    clip = clip[None, :, top : top + SAMPLING.crop[0], left : left + SAMPLING.crop[1]]
    model = keras.models.load_model(run / "model.keras")
    net = keras.Model(model.input, model.get_layer("pool5").output)
    right = unit(net.predict(keras_res3d.preprocess_input(clip), verbose=0))
    assert features.seconds.tolist() == [[0, (frames - 1) / 25]] and len(features) == 1
    np.testing.assert_allclose(features.values["pool5"], right, atol=2e-5)


def test_batches_threads_and_order_do_not_matter(run, videos):
    one = extract_features(run, videos, LAYERS, batch_size=1, workers=1)
    other = extract_features(run, videos, LAYERS, batch_size=64, workers=4)
    for layer in LAYERS:
        np.testing.assert_allclose(one.values[layer], other.values[layer], atol=2e-5)
    assert one.ids == other.ids


@pytest.mark.parametrize("overlap, starts", [(0, 11), (2, 21), (3, 42)])
def test_clips_overlap_by_as_many_of_their_frames(run, videos, overlap, starts):
    features = extract_features(run, [videos.parent / "b/long.mp4"], "prob", overlap=overlap, per_clip=True)
    assert len(features) == starts  # of 90 frames, 84 places to begin, one every (4 - overlap) * 2
    assert features.labels == (None,) * starts


@pytest.mark.parametrize("options, message", [
    ({"overlap": 4}, "expected 0 to 3"), ({"overlap": -1}, "expected 0 to 3"), ({"batch_size": 0}, "at least 1"),
    ({"workers": 0}, "workers is 0"), ({"engine": "float16"}, "expected one of keras"),
    ({"layers": ["pol5"]}, "no layer 'pol5'; expected output or the name of a layer, such as pool5"),
    ({"layers": []}, "layers is empty"),
])  # fmt: skip
def test_wrong_arguments_are_named(run, videos, options, message):
    with pytest.raises(ValueError, match=message):
        extract_features(run, videos, **options)


def test_a_generator_yields_each_video(run, videos, expected):
    found = {video.id: video for video in each_video(run, videos, ["prob"])}
    assert set(found) == set(LENGTHS)
    for name, video in found.items():
        scores = expected[name][0]["prob"].mean(axis=0)
        assert video.number == list(LENGTHS).index(name) and video.error is None
        assert video.top(1)[0][0] == "abc"[int(scores.argmax())]
        np.testing.assert_allclose(video.scores, scores, atol=2e-5)


def test_a_generator_that_is_left_stops_its_threads(run, videos):
    before = threading.active_count()
    for _ in each_video(run, videos, ["prob"], batch_size=1):
        break
    assert threading.active_count() <= before + 2  # what Keras and TensorFlow started


def test_any_keras_model_gives_its_layers(videos):
    for build in MODELS.values():
        model = build()
        features = extract_features(model, videos, ["output"], labels="abc", sampling=SAMPLING)
        clips = [np.stack(list(evaluation_clips(open_video(videos.parent / n), SAMPLING, step=8))) for n in LENGTHS]
        right = [model.predict(keras_res3d.preprocess_input(own), verbose=0).mean(axis=0) for own in clips]
        np.testing.assert_allclose(features.values["output"], unit(np.array(right)), atol=2e-5)


def test_layers_inside_a_nested_model_are_found():
    model = nested()
    net = FeatureNet(model, ["pool5", "output"], labels="abc", sampling=SAMPLING)
    clips = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    found, output = net(clips)
    inner = next(layer for layer in model.layers if hasattr(layer, "layers"))
    right = inner.predict(keras_res3d.preprocess_input(clips), verbose=0)
    np.testing.assert_allclose(found["pool5"], right, atol=1e-5)
    np.testing.assert_allclose(found["output"], output, atol=1e-6)
    assert "call" not in inner.get_layer("pool5").__dict__


def test_a_layer_that_is_used_twice_is_refused():
    clip, shared = keras.Input(SHAPE), keras.layers.Dense(3, name="shared")
    pooled = keras.layers.GlobalAveragePooling3D()(clip)
    model = keras.Model(clip, shared(shared(pooled)))
    with pytest.raises(ValueError, match="'shared' 2 times"):
        FeatureNet(model, ["shared"], labels="abc", sampling=SAMPLING)


def test_maps_are_flattened_channel_by_channel():
    maps = np.random.default_rng(0).normal(size=(2, 1, 3, 4, 5)).astype(np.float32)
    assert np.array_equal(flattened(maps), by_hand(maps).astype(np.float32))
    assert flattened(maps[:, 0, 0, 0]).shape == (2, 5)


def test_the_bfloat16_engine_agrees_and_keeps_the_model(run, videos):
    exact = extract_features(run, videos, LAYERS)
    fast = extract_features(run, videos, LAYERS, engine="bfloat16")
    for layer in LAYERS:
        cosine = (exact.values[layer] * fast.values[layer]).sum(axis=1)
        assert (cosine > 0.99).all() and not np.array_equal(exact.values[layer], fast.values[layer])
    model = keras.models.load_model(run / "model.keras")
    copy = in_bfloat16(model)
    assert copy.get_layer("conv1").variable_dtype == copy.get_layer("res5b").compute_dtype == "bfloat16"
    assert model.get_layer("conv1").compute_dtype == copy.layers[-1].compute_dtype == "float32"
    assert copy.get_layer("bn_conv1").variable_dtype == "float32"


def test_an_export_gives_its_output(run, videos, tmp_path):
    card = keras_res3d.read_card(run / "model.keras")
    model = keras.models.load_model(run / "model.keras")
    keras_res3d.export_model(model, tmp_path / "net.tflite", "litert", card=card)
    exact, exported = extract_features(run, videos, "prob"), extract_features(tmp_path / "net.tflite", videos)
    np.testing.assert_allclose(exported.values["prob"], exact.values["prob"], atol=1e-4)
    assert len(exported.facts["model"]["digest"]) == 64
    with pytest.raises(ValueError, match="gives its output alone"):
        extract_features(tmp_path / "net.tflite", videos, ["pool5"])
    with pytest.raises(ValueError, match="runs as it was made"):
        extract_features(tmp_path / "net.tflite", videos, engine="bfloat16")


def test_a_folder_holds_what_memory_would(run, videos, tmp_path):
    written = extract_features(run, videos, LAYERS, tmp_path / "out")
    held = extract_features(run, videos, LAYERS)
    assert written.ids == held.ids and written.labels == held.labels and written.groups == held.groups
    assert np.array_equal(written.seconds, held.seconds)
    for layer in LAYERS:
        np.testing.assert_allclose(written.values[layer], held.values[layer], atol=2e-5)
    facts = written.facts
    assert facts["layers"] == {"res5b": 128, "pool5": 32, "prob": 3} and facts["step"] == 8
    assert Sampling.from_dict(facts["sampling"]) == SAMPLING
    (data,) = facts["data"]
    assert data["videos"] == 5 and len(data["digest"]) == len(facts["model"]["digest"]) == 64
    names = {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."}
    assert len(names) == 2 and not (tmp_path / "out" / ".claims").exists()


def _numbers_read(monkeypatch):
    """The videos that are opened from now on."""
    opened, real = [], keras_res3d.data.open.VideoFiles.open

    def noted(self, i, *args, **kwargs):
        opened.append(self.examples[i].path)
        return real(self, i, *args, **kwargs)

    monkeypatch.setattr(keras_res3d.data.open.VideoFiles, "open", noted)
    return opened


def test_a_second_run_does_what_is_missing(run, videos, tmp_path, monkeypatch):
    lines = videos.read_text().splitlines()
    shorter = videos.parent / "shorter.csv"
    shorter.write_text("\n".join(lines[:3]) + "\n")
    extract_features(run, shorter, "pool5", tmp_path)
    opened = _numbers_read(monkeypatch)
    features = extract_features(run, videos, "pool5", tmp_path)
    assert len(opened) == 3 and features.ids == tuple(LENGTHS)
    assert [data["videos"] for data in features.facts["data"]] == [2, 5]
    parts = sorted(tmp_path.glob("*.npz"))
    again = extract_features(run, videos, "pool5", tmp_path)
    assert len(opened) == 3 and sorted(tmp_path.glob("*.npz")) == parts and again.ids == features.ids
    shorter.unlink()


def test_a_video_that_was_replaced_is_computed_again(run, tmp_path, make_video, monkeypatch):
    path = tmp_path / "v" / "a" / "0.mp4"
    path.parent.mkdir(parents=True)
    make_video(path, np.full((9, 36, 48, 3), 30, np.uint8))
    before = extract_features(run, tmp_path / "v", "prob", tmp_path / "out")
    make_video(path, np.random.default_rng(0).integers(0, 256, (30, 36, 48, 3), np.uint8))
    after = extract_features(run, tmp_path / "v", "prob", tmp_path / "out")
    assert len(after) == 1 and after.seconds[0, 1] > before.seconds[0, 1]
    assert not np.allclose(before.values["prob"], after.values["prob"])


def test_other_settings_are_refused(run, videos, tmp_path):
    extract_features(run, videos, "pool5", tmp_path)
    for other in ({"layers": "prob"}, {"overlap": 1}, {"per_clip": True}, {"engine": "bfloat16"}):
        with pytest.raises(ValueError, match=r"other settings: .* Choose another folder"):
            extract_features(run, videos, output=tmp_path, **{"layers": "pool5", **other})
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder"):
        extract_features(run, videos, "pool5", tmp_path / "file")


@pytest.fixture
def with_bad(tmp_path, videos):
    """Two good videos with a bad one, an empty one and a missing one among them."""
    names = ["a/short.mp4", "bad\n.mp4", "empty.mp4", "gone.mp4", "b/five.mp4"]
    (tmp_path / "bad\n.mp4").write_bytes(b"not a video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in (names[0], names[-1]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((videos.parent / name).read_bytes())
    examples = tuple(Example(str(tmp_path / name), 0) for name in names)
    return keras_res3d.data.open.VideoFiles(examples, ("a",), str(tmp_path))


def test_bad_videos_are_listed_and_the_rest_goes_on(run, with_bad, tmp_path):
    out = tmp_path / "out"
    features = extract_features(run, with_bad, "pool5", out)
    assert features.ids == ("a/short.mp4", "b/five.mp4")
    text = (out / "bad_videos.csv").read_text()
    assert text.startswith("path,reason") and all(name in text for name in ("bad\n.mp4", "empty.mp4", "gone.mp4"))
    with pytest.warns(UserWarning, match="3 of 5 videos cannot be read"):
        assert extract_features(run, with_bad, "pool5").ids == features.ids


def test_a_video_that_is_mended_is_taken_by_the_next_run(run, with_bad, tmp_path):
    out = tmp_path / "out"
    extract_features(run, with_bad, "pool5", out)
    for name in ("bad\n.mp4", "empty.mp4", "gone.mp4"):
        (tmp_path / name).write_bytes((tmp_path / "b/five.mp4").read_bytes())
    features = extract_features(run, with_bad, "pool5", out)
    assert features.ids == ("a/short.mp4", "bad\n.mp4", "empty.mp4", "gone.mp4", "b/five.mp4")
    assert not (out / "bad_videos.csv").exists()
    np.testing.assert_allclose(features.values["pool5"][1], features.values["pool5"][4], atol=2e-5)


def test_nothing_but_bad_videos_is_an_error(run, with_bad, tmp_path):
    bad = dataclasses.replace(with_bad, examples=with_bad.examples[1:4])
    for output in (None, tmp_path / "out"):
        with pytest.raises(ValueError, match="none of 3 videos can be read"):
            extract_features(run, bad, "pool5", output)


def test_numbers_that_are_not_finite_make_a_video_bad(videos, tmp_path):
    model = keras_res3d.build_model(NARROW, input_shape=SHAPE)
    model.get_layer("fc8").bias.assign([np.nan, 0, 0])
    with pytest.raises(ValueError, match="layer prob of the model gives values that are not finite"):
        extract_features(model, videos, "prob", labels="abc", sampling=SAMPLING)


def test_two_videos_of_one_name_are_refused(run, with_bad):
    twice = dataclasses.replace(with_bad, examples=with_bad.examples[:1] * 2)
    with pytest.raises(ValueError, match=r"videos 0 and 1 of .* are both a/short\.mp4"):
        extract_features(run, twice, "pool5")


def test_names_that_are_not_utf8_come_back(run, videos, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9.mp4")
    pathlib.Path(path).write_bytes((videos.parent / "a/short.mp4").read_bytes())
    features = extract_features(run, [path], "pool5", tmp_path / "out", root=tmp_path)
    assert features.ids == (os.fsdecode(b"\xff\xe9.mp4"),) and features.labels == (None,)


def test_an_interrupted_run_keeps_what_was_done(run, videos, tmp_path, monkeypatch):
    real = shared_folder.FeatureWriter.add

    def add(self, video):
        real(self, video)
        if video.id == "a/short.mp4":
            raise KeyboardInterrupt

    monkeypatch.setattr(shared_folder.FeatureWriter, "add", add)
    with pytest.raises(KeyboardInterrupt):
        extract_features(run, videos, "pool5", tmp_path, batch_size=1, workers=1)
    monkeypatch.undo()
    assert "a/short.mp4" in read_features(tmp_path).ids and len(read_features(tmp_path)) < 5
    assert not (tmp_path / ".claims").exists()
    assert extract_features(run, videos, "pool5", tmp_path).ids == tuple(LENGTHS)


def test_claims_without_an_owner_are_void(run, videos, tmp_path):
    claims = tmp_path / ".claims"
    claims.mkdir()
    (claims / "dead.json").write_text(json.dumps(list(LENGTHS)))
    assert len(extract_features(run, videos, "pool5", tmp_path)) == 5
    assert not claims.exists()


EXTRACT = """
import sys, time
from keras_res3d.commands.main import main
from keras_res3d.tasks import shared_folder
shared_folder.CLAIMED, shared_folder.PART_SECONDS = 2, 0.1
enter = shared_folder.FeatureWriter.__enter__
def enter_together(self):
    enter(self)
    end = time.monotonic() + 60
    while len(list(self._claim.parent.glob(".*.lock"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return self
shared_folder.FeatureWriter.__enter__ = enter_together
sys.exit(main(["extract", sys.argv[1], "--data", sys.argv[2], "--layers", "pool5", "--output", sys.argv[3]]))
"""


@pytest.mark.slow
def test_two_commands_share_a_folder(run, videos, tmp_path):
    names = []
    for number in range(24):
        path = tmp_path / "videos" / "a" / f"{number:02d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((videos.parent / "b/long.mp4").read_bytes())
        names.append(f"a/{path.name}")
    command = [sys.executable, "-c", EXTRACT, run, tmp_path / "videos", tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) for _ in range(2)]
    printed = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    done = [int(text.splitlines()[1].split(" video")[0]) for text in printed]
    assert sum(done) == 24 and min(done) > 0, printed  # no video was computed twice
    features = read_features(tmp_path / "out")
    assert features.ids == tuple(names)
    np.testing.assert_allclose(features.values["pool5"], features.values["pool5"][:1].repeat(24, 0), atol=2e-5)
    assert not (tmp_path / "out" / ".claims").exists()


class Endless:
    """A data set of videos that are drawn as they are read."""

    classes, name, mirror_safe = ("a",), "endless", True

    def __init__(self, frames, videos=1):
        self.examples, self._frames = [Example(f"{i}", 0) for i in range(videos)], frames

    def __len__(self):
        return len(self.examples)

    def open(self, i, fps=None, strict=False):
        return Drawn(self._frames)


class Drawn(keras_res3d.data.sources.base.Source):
    def __init__(self, frames):
        super().__init__("drawn")
        self._number_frames(np.arange(frames) / 25, None)

    def _read(self, numbers):
        for number in numbers:
            yield np.full((36, 48, 3), number % 256, np.uint8)


def _peak(extraction, data):
    from keras_res3d.tasks.named_videos import name_videos

    names = name_videos(data)
    tracemalloc.start()
    count = sum(1 for _ in extraction.videos(data, range(len(data)), names))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == len(data)
    return peak


@pytest.mark.slow
def test_memory_grows_neither_with_length_nor_with_number(run):
    """Clips of a whole video of 15,000 frames (ten minutes) would be 46 MB, and of 300 videos 37 MB."""
    extraction = Extraction(FeatureNet(run, "pool5"), batch_size=8, workers=2)
    _peak(extraction, Endless(64))
    assert _peak(extraction, Endless(15_000)) < 12e6
    assert _peak(extraction, Endless(64, 300)) < 12e6


def _pixels(videos, name):
    with open_video(videos.parent / name) as video:
        return np.stack([frame for _, frame in video.frames(range(video.num_frames))])


def test_videos_may_be_arrays(run, videos, expected):
    names = ["b/five.mp4", "a/short.mp4"]
    arrays = [_pixels(videos, name) for name in names]
    features = extract_features(run, arrays, ["pool5"])
    assert features.ids == ("0", "1") and features.labels == (None, None)
    for row, name in enumerate(names):
        right = unit(expected[name][0]["pool5"].mean(axis=0))
        np.testing.assert_allclose(features.values["pool5"][row], right, atol=2e-5)
    one = extract_features(run, arrays[0], ["pool5"])
    assert one.ids == ("0",)
    np.testing.assert_allclose(one.values["pool5"], features.values["pool5"][:1], atol=2e-5)
    several = extract_features(run, np.stack([arrays[0][:20], arrays[0][20:40]]), ["pool5"])
    assert len(several) == 2
    mixed = [video.id for video in each_video(run, [arrays[0], videos.parent / names[1]], ["pool5"])]
    assert sorted(mixed) == sorted(["0", str(videos.parent / names[1])])


def test_arrays_that_are_no_videos_are_named(run, tmp_path):
    clip = np.zeros((9, 36, 48, 3), np.uint8)
    with pytest.warns(UserWarning, match="1 of 2 videos cannot be read .* float32"):
        assert extract_features(run, [clip, clip.astype(np.float32)], "prob").ids == ("0",)
    with pytest.raises(ValueError, match="channels come last"):
        extract_features(run, np.zeros((2, 3, 9, 36, 48), np.uint8), "prob")
    with pytest.raises(ValueError, match="give no output, or the videos as files"):
        extract_features(run, [clip], "prob", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(TypeError, match="data is int; expected a data set"):
        extract_features(run, 3, "prob")
    with pytest.raises(ValueError, match="there is no output"):
        extract_features(run, [clip], "prob", format="npz")


def test_reading_a_list_warns_of_nothing(run, videos):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract_features(run, read_data_set(videos), "pool5")
