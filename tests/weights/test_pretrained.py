"""Weights by name, from a server's original to numbers in the user's net; the sources are narrow nets."""

import dataclasses
import json
import pathlib
import random
import subprocess
import sys
import textwrap
import warnings

import keras
import numpy as np
import pytest

from keras_res3d.applications import build_model
from keras_res3d.cards import save_model
from keras_res3d.data.clips import Sampling
from keras_res3d.io import digest, locked
from keras_res3d.nets.build import build_graph
from keras_res3d.nets.zoo import ZOO
from keras_res3d.weights import about, catalog, pretrained, store
from keras_res3d.weights.catalog import WeightsEntry
from keras_res3d.weights.download import DownloadError
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.names import torchvision_names
from keras_res3d.weights.source import WeightsError
from tests.weights.formula import caffe_layers
from tests.weights.serving import serving
from tests.weights.writers import caffemodel_bytes, write_pth

# Four frames leave conv5 one frame long, so that its outer taps are dead; eight bring them alive.
TINY = dataclasses.replace(ZOO["sr18"], name="tiny", width=2, blocks=(1, 1, 1, 1), frames=4, crop=32, classes=3)
IDENTITY = dataclasses.replace(TINY, name="tiny_identity", shortcut="identity")


def filled(architecture, **options):
    """The net with reproducible weights; variances above 0."""
    model, rng = build_graph(architecture, **options), np.random.default_rng(7)
    for variable in model.weights:
        variable.assign(rng.uniform(0.1, 0.9, variable.shape).astype("float32"))
    return model


def values(model):
    return {variable.path: np.asarray(variable) for variable in model.weights}


def as_state_dict(model):
    """The weights under torchvision's names."""
    tensors = {}
    for layer in model.layers:
        kind, arrays = type(layer).__name__, layer.get_weights()
        if kind == "Conv3D":
            name, norm = torchvision_names(layer.name)
            tensors[f"{name}.weight"] = np.ascontiguousarray(arrays[0].transpose(4, 3, 0, 1, 2))
            after = layer.name.replace("res", "bn", 1) if layer.name.startswith("res") else f"bn_{layer.name}"
            parts = ("weight", "bias", "running_mean", "running_var")
            statistics = zip(parts, model.get_layer(after).get_weights(), strict=True)
            tensors |= {f"{norm}.{part}": array for part, array in statistics}
        elif kind == "Dense":
            tensors |= {"fc.weight": np.ascontiguousarray(arrays[0].T), "fc.bias": arrays[1]}
    return tensors


@pytest.fixture(scope="module")
def sister():
    """The net without projections, as torchvision's r3d_18 is."""
    return filled(IDENTITY)


@pytest.fixture(scope="module")
def original():
    return filled(TINY)


@pytest.fixture(scope="module")
def files(tmp_path_factory, original, sister):
    """What a publisher would have."""
    folder = tmp_path_factory.mktemp("originals")
    original.save(folder / "tiny.keras")
    filled(TINY, classes=9).save(folder / "classes.keras")
    write_pth(folder / "sister.pth", as_state_dict(sister))
    (folder / "released.caffemodel").write_bytes(caffemodel_bytes(caffe_layers(TINY)))
    (folder / "broken.keras").write_bytes(b"PK\x03\x04" + bytes(2000))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture
def server(running, files):
    running.files, running.requests = dict(files), []
    return running


@pytest.fixture(autouse=True)
def rows(server, files, tmp_path, monkeypatch):
    """The catalog of these tests: tag -> row."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(store.MIRROR_VARIABLE, raising=False)
    made = {}
    for name in files:
        tag, _, kind = name.partition(".")
        made[tag] = WeightsEntry("tiny", tag, server.url(name), kind, 3, "ucf101", "CC BY-NC 3.0", "ucf101 split 1",
                                 frames=4, stride=2, crop=(32, 32), contaminated_for=("ucf101 split 2",))  # fmt: skip
    monkeypatch.setattr(catalog, "ROWS", tuple(made.values()))
    monkeypatch.setitem(ZOO, "tiny", TINY)
    return made


def assert_equal_weights(model, other):
    ours, theirs = values(model), values(other)
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_by_name_end_to_end(rows, server, capfd, original):
    model = build_model("tiny", weights="tiny")
    assert_equal_weights(model, original)
    told = capfd.readouterr().err
    assert told.count("licence CC BY-NC 3.0") == 1 and "tiny/tiny: converting" in told
    assert_equal_weights(build_model("tiny", weights="tiny/tiny"), model)
    assert "licence" not in capfd.readouterr().err
    assert len(server.requests) == 1


def test_the_file_beside_says_where_from(rows):
    path = store.converted(rows["tiny"])
    fields = json.loads((path.parent / "tiny-tiny.json").read_text())
    assert path == store.converted_path(rows["tiny"]) and path.name == "tiny-tiny.weights.h5"
    assert fields == about.read_sidecar(path)
    assert fields["source"] == rows["tiny"].url and fields["licence"] == "CC BY-NC 3.0"
    assert fields["source_sha256"] == digest(store.original_path(rows["tiny"]))
    assert fields["sha256"] == digest(path)
    assert (fields["frames"], fields["classes"], fields["labels"], fields["preprocessing"]) == (4, 3, "ucf101", "res3d")
    assert fields["trained_on"] == "ucf101 split 1" and fields["contaminated_for"] == ["ucf101 split 2"]
    assert fields["package"].startswith("keras_res3d ") and fields["converter"]


@pytest.mark.parametrize("damage", ["bit", "json", "nothing", "version", "source", "digest"])
def test_a_damaged_or_stale_conversion_is_made_again(rows, server, damage, capfd):
    path = store.converted(rows["tiny"])
    good, sidecar = path.read_bytes(), path.parent / "tiny-tiny.json"
    fields = json.loads(sidecar.read_text())
    if damage == "bit":
        path.write_bytes(good[:9000] + bytes([good[9000] ^ 1]) + good[9001:])
    elif damage == "json":
        sidecar.write_text("{")
    elif damage == "nothing":
        path.unlink()
    else:
        key = {"version": "converter", "source": "source", "digest": "source_sha256"}[damage]
        sidecar.write_text(json.dumps(fields | {key: "other"}))
    assert store.converted(rows["tiny"]) == path
    mended = json.loads(sidecar.read_text())
    assert mended == fields | {"sha256": digest(path)}
    assert capfd.readouterr().err.count("converting") == 2 and len(server.requests) == 1


def test_the_original_is_not_needed_any_more(rows, server, original):
    store.converted(rows["tiny"])
    store.original_path(rows["tiny"]).unlink()
    server.files.clear()
    assert_equal_weights(build_model("tiny", weights="tiny"), original)


def test_no_conversion_no_file(rows, server):
    server.files.clear()
    with pytest.raises(DownloadError, match=r"tiny/tiny could not be downloaded.*404.*put it at .*tiny\.keras"):
        build_model("tiny", weights="tiny")
    assert not list(store.cache_home().glob("*.h5"))


def test_a_file_without_this_nets_weights_is_withdrawn(rows, server):
    with pytest.raises(WeightsError, match=r"tiny/broken: .*moved to .*broken\.keras\.rejected"):
        build_model("tiny", weights="broken")
    left = {path.name for path in store.cache_home().iterdir() if not path.name.startswith(".")}
    assert left == {"broken.keras.rejected"}


def test_every_weight_must_come_from_the_original(rows):
    """A classifier of another size would be skipped with a notice; a conversion must not keep a random one."""
    with (
        pytest.warns(UserWarning, match="9 classes"),
        pytest.raises(WeightsError, match="has nothing for fc8/kernel, fc8/bias; tiny/classes must fill every weight"),
    ):
        store.converted(rows["classes"])
    assert not store.converted_path(rows["classes"]).exists()


def test_a_net_without_projection_serves_one_with(rows, sister, tmp_path):
    clip = np.random.default_rng(0).random((1, 4, 32, 32, 3), "float32")
    with pytest.warns(UserWarning, match="identity"):
        model = build_model("tiny", weights="sister")
    np.testing.assert_allclose(model(clip), sister(clip), rtol=1e-5, atol=1e-6)
    sister.save(tmp_path / "sister.keras")
    with pytest.warns(UserWarning, match="identity"):
        assert_equal_weights(build_model("tiny", weights=tmp_path / "sister.keras"), model)


def test_released_format_by_name_and_by_path_agree(rows, tmp_path, files):
    (tmp_path / "mine.caffemodel").write_bytes(files["released.caffemodel"])
    by_path = build_graph(TINY)
    load_weights(by_path, tmp_path / "mine.caffemodel")
    assert_equal_weights(build_model("tiny", weights="released"), by_path)


def test_classes_come_from_the_weights(rows, monkeypatch):
    monkeypatch.setitem(ZOO, "tiny", dataclasses.replace(TINY, classes=11))
    assert build_model("tiny", weights="tiny").output_shape == (None, 3)
    assert build_model("tiny").output_shape == (None, 11)
    with pytest.warns(UserWarning, match="3 classes"):
        assert build_model("tiny", weights="tiny", classes=6).output_shape == (None, 6)


def test_without_top_and_with_pooling(rows, original):
    body, whole = build_model("tiny", include_top=False, weights="tiny", pooling="avg"), original
    np.testing.assert_array_equal(body.get_layer("res5a_branch2b").kernel, whole.get_layer("res5a_branch2b").kernel)


def test_taps_that_were_dead_are_silenced_by_default(rows, original):
    with pytest.warns(UserWarning, match=r"trained at 4 frames and are loaded for 8.*res5a_branch2b \(taps 0, 2\)"):
        longer = build_model("tiny", weights="tiny", input_shape=(8, 32, 32, 3))
    kernel = np.asarray(longer.get_layer("res5a_branch2b").kernel)
    assert not kernel[[0, 2]].any() and kernel[1].all()
    kept = build_graph(TINY, input_shape=(8, 32, 32, 3))
    pretrained.load_pretrained(kept, TINY, "tiny", untrained_taps="keep")
    assert_equal_weights(kept, original)


def test_a_copied_conversion_still_knows_its_frames(rows, tmp_path):
    path = store.converted(rows["tiny"])
    for suffix in (".weights.h5", ".json"):
        (tmp_path / f"copy{suffix}").write_bytes((path.parent / f"tiny-tiny{suffix}").read_bytes())
    with pytest.warns(UserWarning, match="trained at 4 frames"):
        build_model("tiny", weights=tmp_path / "copy.weights.h5", input_shape=(8, 32, 32, 3))
    damaged = (tmp_path / "copy.weights.h5").read_bytes()
    (tmp_path / "copy.weights.h5").write_bytes(damaged[:-1] + bytes([damaged[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"is not the file that .*copy\.json records"):
        build_model("tiny", weights=tmp_path / "copy.weights.h5")


def test_paths(rows, server, tmp_path, files, original):
    (tmp_path / "own.keras").write_bytes(files["tiny.keras"])
    original.save_weights(tmp_path / "own.weights.h5")
    for path in (tmp_path / "own.keras", str(tmp_path / "own.weights.h5")):
        assert_equal_weights(build_model("tiny", weights=path), original)
    with pytest.raises(FileNotFoundError, match=r"none\.caffemodel"):
        build_model("tiny", weights=tmp_path / "none.caffemodel")
    (tmp_path / "own.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(WeightsError, match="no known format"):
        build_model("tiny", weights=tmp_path / "own.onnx")
    assert server.requests == []


def test_classes_come_from_a_file_of_any_format(rows, tmp_path, files, monkeypatch):
    monkeypatch.setitem(ZOO, "tiny", dataclasses.replace(TINY, classes=11))
    for name in ("tiny.keras", "released.caffemodel", "classes.keras", "sister.pth"):
        (tmp_path / name).write_bytes(files[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the sister's missing projection
            model = build_model("tiny", weights=tmp_path / name)
        assert model.output_shape == (None, 9 if name == "classes.keras" else 3)
    with pytest.warns(UserWarning, match="3 classes"):
        assert build_model("tiny", weights=tmp_path / "tiny.keras", classes=6).output_shape == (None, 6)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_builders_adapt_published_and_own_weights_to_other_channels(rows, tmp_path, files, original, channels):
    (tmp_path / "own.keras").write_bytes(files["tiny.keras"])
    grey = np.random.default_rng(0).normal(size=(1, 4, 32, 32, 1)).astype("float32")
    shape = (4, 32, 32, channels)
    for weights in ("tiny", tmp_path / "own.keras"):
        with pytest.raises(ValueError, match=r'channels="adapt"'):
            build_model("tiny", weights=weights, input_shape=shape)
        with pytest.warns(UserWarning, match=f"input channels of conv1: {channels} here, 3 in"):
            model = build_model("tiny", weights=weights, input_shape=shape, channels="adapt")
        expected = original(np.repeat(grey, 3, -1))
        np.testing.assert_allclose(model(np.repeat(grey, channels, -1)), expected, rtol=1e-3, atol=1e-4)


def test_describe_tells_what_there_is_without_a_net(rows, server, tmp_path, files, monkeypatch, original):
    monkeypatch.setattr("keras_res3d.nets.build.build_graph", None)
    assert pretrained.describe("tiny", None) == about.Described()
    published = pretrained.describe("tiny", "tiny")
    assert server.requests == []
    assert (published.net, published.architecture, published.entry) == ("tiny", TINY, rows["tiny"])
    assert (published.classes, published.channels, published.frames) == (3, 3, 4)
    assert published.sampling == Sampling(4, 2, crop=(32, 32)) and published.licence == "CC BY-NC 3.0"
    (tmp_path / "mine.pth").write_bytes(files["sister.pth"])
    bare = pretrained.describe(TINY, tmp_path / "mine.pth")
    assert (bare.classes, bare.channels, bare.net, bare.sampling, bare.frames) == (3, 3, None, None, None)
    sampling = Sampling(4, 3, (40, 40), (32, 32), preprocessing="torchvision")
    (tmp_path / "run").mkdir()
    card = save_model(original, tmp_path / "run" / "model.keras", labels="abc", sampling=sampling, licence="MIT")
    run = pretrained.describe(None, str(tmp_path / "run"))
    assert (run.card, run.net, run.architecture, run.sampling) == (card, "tiny", card.architecture, sampling)
    assert (run.classes, run.channels, run.frames, run.labels) == (3, 3, 4, ("a", "b", "c"))
    assert (run.licence, run.path) == ("MIT", tmp_path / "run" / "model.keras")


def test_describe_reads_the_json_beside_converted_weights(rows):
    path = store.converted(rows["tiny"])
    found = pretrained.describe(None, path)
    assert (found.net, found.architecture, found.classes, found.frames) == ("tiny", TINY, 3, 4)
    assert found.sampling == Sampling(4, 2, crop=(32, 32)) and found.trained_on == "ucf101 split 1"


def test_the_json_beside_converted_weights_tells_another_net(rows, monkeypatch):
    path = store.converted(rows["tiny"])
    strided = dataclasses.replace(TINY, name="strided", strides=(*TINY.strides[:3], (1, 2, 2), (1, 2, 2)))
    with pytest.raises(WeightsError, match=r"holds weights of tiny, and this net is strided: .*load_pretrained\(model"):
        build_model(strided, weights=path)
    model = build_graph(strided)
    pretrained.load_pretrained(model, strided, path, check_net=False)


def test_a_folder_of_videos_may_be_called_like_the_weights(rows, tmp_path, monkeypatch, original):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert_equal_weights(build_model("tiny", weights="tiny"), original)
    (tmp_path / "videos").mkdir()
    with pytest.raises(ValueError, match=r"'videos', and that folder holds no model\.keras"):
        build_model("tiny", weights="videos")


def test_unknown_names_fail_before_anything_is_built(rows, monkeypatch):
    monkeypatch.setattr("keras_res3d.applications.build_graph", None)
    with pytest.raises(ValueError, match=r"'imagenet'.*for tiny; there are .*'tiny'"):
        build_model("tiny", weights="imagenet")


def test_a_conversion_does_not_touch_the_callers_settings(rows, original):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        random.seed(3)
        path = store.converted(rows["tiny"])
        drawn = random.random()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    random.seed(3)
    assert drawn == random.random()
    assert_equal_weights(build_model("tiny", weights=path), original)


def test_a_write_that_fails_leaves_what_was_there(rows, monkeypatch):
    path = store.converted(rows["tiny"])
    sidecar = path.parent / "tiny-tiny.json"
    sidecar.write_text("{}")
    before = path.read_bytes()

    def fail(self, name):
        pathlib.Path(name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", fail)
    with pytest.raises(OSError, match="No space left"):
        store.converted(rows["tiny"])
    assert path.read_bytes() == before and not list(path.parent.glob(".*h5"))


CHILD = textwrap.dedent("""
    import dataclasses, sys
    from keras_res3d.nets.zoo import ZOO
    from keras_res3d.weights import store
    from keras_res3d.weights.catalog import WeightsEntry
    tiny = dataclasses.replace(ZOO["sr18"], name="tiny", width=2, blocks=(1,) * 4, frames=4, crop=32, classes=3)
    entry = WeightsEntry("tiny", "tiny", sys.argv[1], "keras", 3, "ucf101", "L", "T", frames=4, crop=(32, 32))
    print(store.converted(entry, tiny))
""")


def test_two_processes_convert_once(rows, server, capfd):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, rows["tiny"].url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        with locked(store.converted_path(rows["tiny"])):
            # The child comes to the lock while it is held, and waits.
            waited = child.stderr.readline()
            while waited and "waiting for another process" not in waited:
                waited = child.stderr.readline()
        path = store.converted(rows["tiny"])
        out, err = child.communicate(timeout=300)
    finally:
        child.kill()
        child.communicate()
    assert waited and out.strip() == str(path), err
    told = capfd.readouterr().err + err
    assert told.count("licence") == 1 and len(server.requests) == 1
