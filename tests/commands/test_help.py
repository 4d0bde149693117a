"""The help of every verb: a usage line, every flag with a whole sentence, and no TensorFlow."""

import re
import subprocess
import sys

import pytest
from absl import flags

from keras_res3d.commands import arguments
from keras_res3d.commands.main import VERBS, flags_of, main


def own_flags(verb):
    """(module, {name: (help, whether absl demands it)}) of a verb; the flags are gone again afterwards."""
    demanded = "must have a value other than None"
    with flags_of(verb) as (module, names):
        return module, {
            name: (flags.FLAGS[name].help, any(demanded in rule.message for rule in flags.FLAGS[name].validators))
            for name in names
        }


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_the_usage_an_example_and_every_flag(verb, capsys):
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    module, own = own_flags(verb)
    first = text.splitlines()[0]
    assert first == " ".join(["Usage: keras-res3d", verb, *module.USAGE.split(), "[--flags]"])
    # Python 3.13 takes the indentation off docstrings.
    assert re.search(rf"^ *keras-res3d {verb}", text, re.M)
    for name in own:
        assert re.search(rf"^  --{name}$", text, re.M), name
    assert verb != "train" or "--nomirror turns it off" in " ".join(text.split())
    assert main(["help", verb]) == 0 and capsys.readouterr().out == text


@pytest.mark.parametrize("verb", VERBS)
def test_each_flag_is_explained_by_whole_sentences(verb):
    for name, (text, _) in own_flags(verb)[1].items():
        assert text.endswith(".") and len(text.split()) > 1, f"--{name}: {text}"


@pytest.mark.parametrize("verb", VERBS)
def test_the_usage_line_has_every_required_flag(verb):
    module, own = own_flags(verb)
    shown = set(arguments.required_flags(module.USAGE))
    assert shown <= set(own) and {name for name, (_, demanded) in own.items() if demanded} <= shown


def test_help_and_wrong_calls_need_neither_tensorflow_nor_keras():
    code = (
        "import sys; from keras_res3d.commands.main import VERBS, main\n"
        "assert all(main([verb, '--help']) == 0 for verb in VERBS) and main(['help']) == 0\n"
        "assert main(['train']) == main(['predict']) == main(['evaluate', '--dta', 'x']) == 2\n"
        "print('loaded:', sorted({'tensorflow', 'keras', 'matplotlib', 'jinja2', 'gradio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_the_overview_names_every_verb(capsys):
    for call in ([], ["help"], ["--help"], ["-h"]):
        assert main(call) == 0
        text = capsys.readouterr().out
        assert text.splitlines()[0].startswith("keras-res3d ") and all(f"  {verb} " in text for verb in VERBS)
