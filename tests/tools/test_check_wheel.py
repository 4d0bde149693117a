"""The tool that tries the wheel runs every verb."""

import pathlib
import sys

from keras_res3d.commands.main import VERBS

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import check_wheel


def test_every_verb_is_run():
    assert set(VERBS) <= {line.split()[0] for line in check_wheel.COMMANDS}
