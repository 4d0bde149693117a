"""The command line itself: verbs, help, wrong calls."""

import subprocess
import sys
import zipfile

import pytest

from keras_res3d import __version__
from keras_res3d.commands import models
from keras_res3d.commands.arguments import spelled_for_absl
from keras_res3d.commands.common import configured_backend
from keras_res3d.commands.main import VERBS, flags_of, main


def test_version(capsys):
    assert main(["--version"]) == 0 and capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    "arguments, messages",
    [
        (["fly"], ["keras-res3d: there is no verb 'fly'; there are quickstart"]),
        (["trian"], ["keras-res3d: there is no verb 'trian'; did you mean train or transfer?"]),
        (["help", "evalute"], ["did you mean evaluate?"]),
        (["train"], ["keras-res3d train: --data is required: Training videos", "train: --output is required: Folder"]),
        (["train", "--dta", "x", "--output", "y"], ["there is no flag --dta; did you mean --data"]),
        (["train", "--data", "x", "--output", "y", "--no-miror"], ["no flag --no-miror; did you mean --nomirror"]),
        (["train", "--data", "x", "--output", "y", "--epochs", "0"], ["train: flag --epochs=0", "positive integer"]),
        (["train", "--data", "x", "--output", "y", "--nomirror=1"], ["does not take an argument"]),
        (["train", "--data", "x", "--output"], ["Missing value for flag --output"]),
        (["train", "videos", "--data", "x", "--output", "y"], ["unexpected argument 'videos'; expected flags alone"]),
        (["models", "--nonsense"], ["there is no flag --nonsense"]),
        (["evaluate"], ["evaluate: MODEL is missing", "evaluate: --data is required: Videos"]),
        (["report", "a", "b"], ["unexpected argument 'b'; expected RUN"]),
        (["predict"], ["predict: MODEL is missing", "predict: VIDEO is missing"]),
        (["predict", "runs/x", "--top", "3"], ["predict: VIDEO is missing"]),
        (["export", "m.keras"], ["export: --output is required"]),
        (["weights", "get", "a", "b"], ["unexpected argument 'b'"]),
        (["split", "--data", "x", "--output", "", "--folds", "2"], ["split: --output is empty: Folder that the lists"]),
        (["extract", "m", "--data=", "--output", "x", "--layers="], ["--data is empty: ", "--layers is empty: "]),
        (["search-videos", "", "x"], ["search-videos: a word is empty; leave it out"]),
        (["predict", "m", "v", "--threshold", "0.1", "--event-classes", ""], ["--event_classes is empty: "]),
        (["evaluate", "m", "--data", "x", "--benchmark=", "--splits", ""], ["--benchmark is empty", "splits is empty"]),
        (["train", "--data", "", "--output", "y"], ["--data is empty"]),
    ],
)
def test_wrong_calls_exit_with_2_and_name_every_fault(arguments, messages, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert not captured.out
    for message in messages:
        assert message in captured.err
    if arguments[0] in VERBS:
        *faults, usage, hint = captured.err.splitlines()
        assert all(fault.startswith(f"keras-res3d {arguments[0]}: ") for fault in faults)
        assert usage.startswith(f"Usage: keras-res3d {arguments[0]}") and "keras-res3d help" in hint
        # A required flag that was mistyped is not reported as missing as well.
        assert "--dta" not in arguments or len(faults) == 1


@pytest.mark.parametrize(
    "typed, spelled",
    [
        (["--batch-size", "4"], ["--batch_size", "4"]),
        (["--batch-size=4", "-batch_size", "5"], ["--batch_size=4", "--batch_size", "5"]),
        (["--no-mirror"], ["--nomirror"]),
        (["--nomirror", "--no_mirror"], ["--nomirror", "--nomirror"]),
        (["--mirror=false", "--fused-batch-norm"], ["--mirror=false", "--fused_batch_norm"]),
        (["--no-fused-batch-norm"], ["--nofused_batch_norm"]),
        (["--output", "--my-run", "--data=a-b"], ["--output", "--my-run", "--data=a-b"]),
        (["--output", "-r", "a-b", "-", "--data", "x", "--", "--c-d", "--net"], ["--output", "-r", "--data", "x"]),
    ],
)
def test_dashes_in_flags(typed, spelled):
    with flags_of("train"):
        assert spelled_for_absl(typed)[0] == spelled and not spelled_for_absl(typed)[3]


def test_a_flag_that_begins_with_no_keeps_its_name(tmp_path, capsys):
    arguments = ["export", str(tmp_path / "none.keras"), "--output", "x", "--no-preprocessing"]
    assert main(arguments) == 1
    assert "none.keras does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [verb for verb, row in VERBS.items() if row.needs_tensorflow])
@pytest.mark.parametrize("where", ["environment", "keras.json"])
def test_another_backend_is_named_before_keras_is_imported(verb, where, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert configured_backend() == "tensorflow"
    if where == "environment":
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    else:
        (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    words = {"train": ["--data", "x", "--output", "y"], "export": ["m.keras", "--output", "y"], "quickstart": [],
             "search": ["--study", "depth", "--data", "x", "--output", "y"]}[verb]  # fmt: skip
    assert main([verb, *words]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith(f"keras-res3d {verb}: this verb needs the TensorFlow backend")
    assert "jax is configured" in error and f"KERAS_BACKEND=tensorflow keras-res3d {verb}" in error


def test_models_answer_under_another_backend(monkeypatch, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert main(["models", "sr18"]) == 0 and "33,222,309" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error, message",
    [
        (ValueError("a line"), "a line"),
        (EOFError(), "EOFError"),
        (MemoryError(), "MemoryError"),
        (zipfile.BadZipFile("File is not a zip file"), "not a zip file"),
        (FileNotFoundError(2, "No such file", "x.keras"), "x.keras"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_what_a_user_can_mend_is_one_line(error, message, monkeypatch, capsys):
    monkeypatch.setattr(models, "run", raising(error))
    assert main(["models"]) in (1, 130)
    text = capsys.readouterr().err
    assert text.strip().startswith("keras-res3d models: ") and message in text and text.strip().count("\n") == 0


def test_a_message_shows_nothing_raw_and_stays_off_the_margin(monkeypatch, capsys):
    monkeypatch.setattr(models, "run", raising(ValueError("a\x1b[31m.mp4\nkeras-res3d models: all is well\n  more")))
    assert main(["models"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        r"keras-res3d models: a\x1b[31m.mp4",
        "  keras-res3d models: all is well",
        "  more",
    ]


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), RecursionError("x"), NotImplementedError("x")])
def test_faults_of_this_package_stay_visible(error, monkeypatch):
    monkeypatch.setattr(models, "run", raising(error))
    with pytest.raises(type(error)):
        main(["models"])


def test_an_error_of_tensorflow_is_one_line(monkeypatch, capsys):
    import tensorflow as tf

    monkeypatch.setattr(models, "run", raising(tf.errors.ResourceExhaustedError(None, None, "out of memory")))
    assert main(["models"]) == 1
    assert "keras-res3d models: out of memory" in capsys.readouterr().err


def test_the_traceback_is_there_on_request(monkeypatch, capsys):
    monkeypatch.setattr(models, "run", raising(ValueError("a line")))
    monkeypatch.setenv("KERAS_RES3D_TRACEBACK", "1")
    assert main(["models"]) == 1
    assert "Traceback" in capsys.readouterr().err


def raising(error):
    def run(_):
        raise error

    return run


def test_flags_do_not_leak_between_calls(capsys):
    assert main(["models", "sr18", "--frames", "8"]) == 0
    assert "8x112x112x3" in capsys.readouterr().out
    assert main(["models", "sr18"]) == 0
    assert "4x112x112x3" in capsys.readouterr().out


def test_console_script_prints_the_zoo_without_tensorflow():
    code = (
        "import sys; from keras_res3d.commands.main import main; code = main(['models']); "
        "sys.exit(code or 3 * ('tensorflow' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "33.22" in done.stdout and "72.9*" in done.stdout


@pytest.mark.parametrize("words", [["mc3", "sr18"], ["mc3", "--classes", "101", "sr18"], ["--markdown", "mc3", "sr18"]])
def test_models_shows_every_net_that_is_named(words, capsys):
    assert main(["models", *words]) == 0
    first, second = capsys.readouterr().out.split("\n\nsr18: ")
    assert first.startswith("mc3: input 4x112x112x3, width 108, 101 classes\n\n") and "32,775,617" in first
    assert second.startswith("input 4x112x112x3, width 64, 101 classes\n\n") and "33,222,309" in second


def test_models(capsys):
    assert main(["models", "c3d"]) == 0
    assert "fc6-1 4096" in capsys.readouterr().out
    assert main(["models", "--markdown"]) == 0
    assert "| net |" in capsys.readouterr().out
    assert main(["models", "sr18", "--target_params", "5e6"]) == 0
    assert "width 25" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["models", "mc9"], "did you mean"),
        (["models", "sr18", "mc9"], "did you mean"),
        (["models", "--width", "3"], "needs a net"),
        (["models", "sr18", "--frames", "2"], "at least 4x16x16"),
        (["models", "sr18", "--width", "3", "--target_params", "4"], "one of them"),
    ],
)
def test_models_refusals(arguments, message, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err and not captured.out


@pytest.mark.parametrize("arguments, flag", [
    (["pack", "--data", "motion", "--output", "hdfs://b/x"], "--output"),
    (["train", "--data", "S3://b/x.csv", "--output", "y"], "--data"),
    (["report", "y", "--out", "gcs://b/x.html"], "--out"),
    (["predict", "gcs://b/x", "a.mp4"], ""),
    (["export", "hdfs://b/x", "--output", "y"], "the word hdfs://b/x"),
])  # fmt: skip
def test_an_address_of_no_known_store_is_refused_by_every_verb(arguments, flag, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert f"{arguments[0]}: {flag}" in said and "is no known store; expected s3://, gs:// or memory://" in said
    assert len(said.splitlines()) == 1 and list(tmp_path.iterdir()) == []


def test_an_address_of_a_cluster_without_its_engine_is_told_before_anything_is_read(capsys):
    assert main(["pack", "--data", "nowhere", "--output", "x", "--ray_address", "auto"]) == 1
    assert capsys.readouterr().err == "keras-res3d pack: --ray_address is for --engine ray\n"
