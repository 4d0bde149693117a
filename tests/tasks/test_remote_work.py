"""Runs, models, exports and features in stores: what is written there is read from there, and the same as locally."""

import keras
import numpy as np
import pytest

import keras_res3d
from keras_res3d import export_model, extract_features, load_model, read_features
from keras_res3d.cards import card_of, card_path, read_card
from keras_res3d.commands.main import main
from keras_res3d.io import write_atomically
from keras_res3d.remote import TRIES, StoreError
from keras_res3d.tasks.feature_folder import parts, read_header
from keras_res3d.training import checkpoint

from ..stores import SCHEMES, flaky, store_of
from ..training.runs import run
from ..users_models import NARROW, SAMPLING, SHAPE


@pytest.fixture(scope="module", params=SCHEMES)
def root(request):
    """An empty folder of a store."""
    with store_of(request.param) as folder:
        yield folder


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras_res3d.build_model(NARROW, input_shape=SHAPE)


@pytest.fixture(scope="module")
def videos(tmp_path_factory, make_video):
    """A list of three videos, of which one is bad."""
    folder, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for name in "ab":
        make_video(folder / f"{name}.mp4", rng.integers(0, 256, (20, 36, 48, 3), np.uint8))
    (folder / "bad.mp4").write_bytes(b"no video")
    (folder / "list.csv").write_text("path,label\na.mp4,x\nbad.mp4,x\nb.mp4,y\n")
    return folder / "list.csv"


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_in_a_store_goes_on_where_it_was(root, tmp_path, capsys):
    expected, history = run(tmp_path / "run", validation=0, dropout=0.3)
    output = root / "run"
    with pytest.raises(KeyboardInterrupt):
        run(str(output), validation=0, dropout=0.3, checkpoint_steps=2, callbacks=[Interrupt()])
    assert (output / "checkpoint.npz").is_file()
    capsys.readouterr()
    net, found = run(str(output), validation=0, dropout=0.3, checkpoint_steps=2, resume=True)
    assert "going on at step 2 of 10" in capsys.readouterr().out and found["loss"] == history["loss"]
    for one, two in zip(net.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    assert sorted(path.name for path in output.iterdir()) == sorted(path.name for path in (tmp_path / "run").iterdir())
    clips = np.zeros((1, 4, 24, 24, 3), np.uint8)
    assert load_model(str(output)).predict(clips).tolist() == load_model(tmp_path / "run").predict(clips).tolist()
    for option, message in (({"tensorboard": True}, "the log of TensorBoard cannot be on"),):
        with pytest.raises((ValueError, ImportError), match=f"{message}|tensorboard is not installed"):
            run(str(root / "other"), validation=0, **option)


def test_models_and_weights_of_a_store(root, model, tmp_path):
    path = root / "models" / "model.keras"
    keras_res3d.save_model(model, str(path), labels="abc", sampling=SAMPLING)
    opened = load_model(str(path))
    assert opened.card.labels == ("a", "b", "c") and opened.card.sampling == SAMPLING
    card_path(path).unlink()  # as a kill leaves it between the model and its card
    assert read_card(path) == opened.card == load_model(str(path)).card
    for weights in (str(path), str(path.parent), path):
        other = keras_res3d.build_model(NARROW, input_shape=SHAPE, weights=weights)
        np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    for name in ("gone.keras", "gone"):
        with pytest.raises(FileNotFoundError, match=f"models/{name} does not exist"):
            load_model(f"{path.parent}/{name}")
        with pytest.raises(FileNotFoundError, match=f"there is no weights file .*models/{name}"):
            keras_res3d.build_model(NARROW, input_shape=SHAPE, weights=f"{path.parent}/{name}")
    write_atomically(path.parent / "cut.keras", path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cut\.keras is damaged"):
        load_model(path.parent / "cut.keras")


@pytest.mark.slow
def test_an_export_is_written_into_a_store(root, model):
    clips = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), np.uint8)
    card = card_of(model, labels="abc", sampling=SAMPLING)
    expected = model.predict(keras_res3d.preprocess_input(clips), verbose=0)
    path = root / "exports" / "net.tflite"
    for given in (card, None):  # the second takes the card of the one that is replaced
        report = export_model(model, str(path), "litert", card=given, check_clips=clips)
        assert report.path == str(path)
    runner = load_model(str(path))
    np.testing.assert_allclose(runner.predict(clips), expected, atol=1e-5)
    assert runner.card.labels == ("a", "b", "c")
    folder = root / "exports" / "saved"
    export_model(model, str(folder), "saved_model", card=card, check_clips=clips)
    np.testing.assert_allclose(load_model(str(folder)).predict(clips), expected, atol=1e-5)
    write_atomically(root / "exports" / "full" / "mine.txt", "")
    with pytest.raises(ValueError, match="a folder that is not a SavedModel"):
        export_model(model, str(root / "exports" / "full"), "saved_model", card=card)


@pytest.fixture
def failures(monkeypatch):
    pytest.importorskip("fsspec")
    with flaky(monkeypatch) as found:
        yield found


SAID = r"flaky://{} cannot be {}: the store failed 5 times, the last time with ConnectionResetError"


def test_a_connection_that_is_lost_at_a_checkpoint(failures):
    failures.left = TRIES - 1
    checkpoint.save("flaky://run", [np.arange(3)], {"step": 1})
    assert failures.left == 0
    failures.left = TRIES - 1
    values, state = checkpoint.load("flaky://run")
    assert (values[0].tolist(), state, failures.left) == ([0, 1, 2], {"step": 1}, 0)
    failures.left = 10**6
    with pytest.raises(StoreError, match=SAID.format(r"run/checkpoint\.npz", "written")):
        checkpoint.save("flaky://run", [np.arange(4)], {"step": 2})
    for method, does in (("info", "looked for"), ("cat_file", "read")):
        failures.methods = (method,)
        with pytest.raises(StoreError, match=SAID.format(r"run/checkpoint\.npz", does)):
            checkpoint.load("flaky://run")
    failures.left = 0
    assert checkpoint.load("flaky://run")[1] == {"step": 1}  # the one before the write that failed


@pytest.mark.slow
def test_a_connection_that_is_lost_at_an_export(failures, model):
    path, card = "flaky://exports/net.tflite", card_of(model, labels="abc", sampling=SAMPLING)
    clips = np.zeros((2, *SHAPE), np.uint8)
    failures.methods, failures.left = ("put_file",), TRIES - 1
    export_model(model, path, "litert", card=card, check_clips=clips)
    assert failures.left == 0
    failures.methods, failures.left = None, TRIES - 1
    assert load_model(path).card.labels == ("a", "b", "c") and failures.left == 0
    failures.left = 10**6
    with pytest.raises(StoreError, match=SAID.format(r"exports/net\.tflite", "looked for")):
        load_model(path)
    failures.methods = ("put_file",)
    with pytest.raises(StoreError, match=SAID.format(r"exports/net\.tflite", "written")):
        export_model(model, path, "litert", card=card, check_clips=clips)


@pytest.mark.parametrize("format", ["npz", "parquet"])
def test_features_are_written_into_a_store(root, model, videos, tmp_path, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    options = {"labels": "abc", "sampling": SAMPLING, "format": format, "workers": 1}
    here = extract_features(model, videos, ["pool5", "prob"], tmp_path, **options)
    output = root / f"features-{format}"
    there = extract_features(model, videos, ["pool5", "prob"], str(output), **options)
    assert there.ids == here.ids == ("a.mp4", "b.mp4") and there.labels == ("x", "y")
    for name in here.values:
        np.testing.assert_array_equal(there.values[name], here.values[name])
    assert (output / "bad_videos.csv").read_text() == (tmp_path / "bad_videos.csv").read_text()
    assert sorted(path.suffix for path in output.iterdir()) == sorted([".json", ".csv", parts(output)[0].suffix])
    before = [path.name for path in parts(output)]
    (videos.parent / "bad.mp4").rename(videos.parent / "kept")
    (videos.parent / "a.mp4").rename(videos.parent / "bad.mp4")
    try:  # only what is missing is computed: the one that was bad; what cannot be read now is not asked for
        again = extract_features(model, [videos.parent / "bad.mp4"], ["pool5", "prob"], str(output), **options,
                                 root=videos.parent)  # fmt: skip
    finally:
        (videos.parent / "bad.mp4").rename(videos.parent / "a.mp4")
        (videos.parent / "kept").rename(videos.parent / "bad.mp4")
    assert len(again.ids) == 3 and len(parts(output)) == len(before) + 1
    assert len(read_header(str(output))["data"]) == 2 and not (output / "bad_videos.csv").exists()


@pytest.mark.slow
def test_commands_read_and_write_in_a_store(root, videos, capsys):
    data, output = root / "lists" / "list.csv", root / "runs" / "small"
    for name in ("a.mp4", "b.mp4"):
        (data.parent / name).upload(videos.parent / name)
    write_atomically(data, "path,label\na.mp4,x\nb.mp4,y\n")
    flags = ["--net", "sr18", "--width", "4", "--frames", "4", "--crop", "32", "--epochs", "1", "--batch_size", "2"]
    train = ["train", "--data", str(data), "--validation", str(data), "--output", str(output), *flags]
    assert main(train) == 0
    assert f"wrote {output}/model.keras" in capsys.readouterr().out and (output / "curves.png").is_file()
    (output / "curves.png").unlink()  # as a kill after the last epoch leaves it
    assert main(train) == 0
    assert "is drawn now; nothing was trained" in capsys.readouterr().out and (output / "curves.png").is_file()
    assert main(["evaluate", str(output), "--data", str(data), "--clips", "1", "--allow_contaminated"]) == 0
    assert (output.parent / "small" / "scores" / "scores.json").is_file()
    assert main(["predict", str(output / "best.keras"), str(data.parent / "a.mp4"), "--clips", "1"]) == 0
    flags = ["--data", str(data), "--layers", "pool5", "--output", str(root / "small-features")]
    assert main(["extract", str(output), *flags]) == 0
    assert read_features(str(root / "small-features")).ids == ("a.mp4", "b.mp4")
    assert main(["export", str(output), "--format", "litert", "--output", str(root / "small.tflite")]) == 0
    assert main(["train", "--data", str(data), "--output", str(output)]) == 1
    assert f"{output} holds a finished run" in capsys.readouterr().err


def test_commands_say_what_cannot_be_in_a_store(root, tmp_path, capsys):
    for words, what in (
        (["report", "s3://b/run"], "the word s3://b/run"),
        (["predict", "s3://b/run", "s3://b/a.mp4", "--timeline", "gs://b/out.png"], "--timeline"),
        (["split", "--data", "memory://x.csv", "--output", str(tmp_path)], "--data"),
    ):
        assert main(words) == 1
        assert f"{what} cannot be on " in capsys.readouterr().err
    assert main(["train", "--data", f"{root}/gone.csv", "--output", f"{root}/x"]) == 1
    assert f"{root}/gone.csv: 1 fault" in capsys.readouterr().err
