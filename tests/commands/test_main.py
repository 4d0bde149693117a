"""The command line itself: verbs, help, wrong calls."""

import re
import subprocess
import sys

import pytest

from keras_res3d import __version__
from keras_res3d.commands.main import VERBS, main


def test_overview_and_version(capsys):
    assert main([]) == 0 and main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)
    assert main(["--version"]) == 0 and capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    assert main([verb, "--help"]) == 0
    # Python 3.13 takes the indentation off docstrings.
    assert re.search(rf"^ *keras-res3d {verb}", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fly"], "no verb 'fly'"),
        (["train"], "--data must have a value"),
        (["models", "--nonsense"], "Unknown command line flag"),
        (["train", "--data", "x", "--output", "y", "--epochs", "0"], "positive integer"),
    ],
)
def test_wrong_calls_exit_with_2(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


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


def test_models(capsys):
    assert main(["models", "mc3", "c3d"]) == 0
    text = capsys.readouterr().out
    assert "32,775,617" in text and "fc6-1 4096" in text
    assert main(["models", "--markdown"]) == 0
    assert "| net |" in capsys.readouterr().out
    assert main(["models", "sr18", "--target_params", "5e6"]) == 0
    assert "width 25" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["models", "mc9"], "did you mean"),
        (["models", "--width", "3"], "needs a net"),
        (["models", "sr18", "--frames", "2"], "at least 4x16x16"),
        (["models", "sr18", "--width", "3", "--target_params", "4"], "one of them"),
    ],
)
def test_models_refusals(arguments, message, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err and not captured.out
