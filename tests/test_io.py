"""Silence, and names of outputs; writing is tested where it is used."""

import os
import pathlib

import pytest

from keras_res3d.io import output_paths, silenced


def test_silence_hides_what_native_code_prints_unless_it_fails(capfd):
    with silenced(1, 2):
        os.write(1, b"progress\n")
        os.write(2, b"remark\n")
    os.write(2, b"after\n")
    assert capfd.readouterr() == ("", "after\n")
    with pytest.raises(ValueError, match="wrong"), silenced(2):
        os.write(2, b"the reason\n")
        raise ValueError("wrong")
    assert capfd.readouterr() == ("", "the reason\n")


def test_no_two_inputs_have_one_output(tmp_path):
    (tmp_path / "x.1").mkdir()
    inputs = ["a/x.mp4", "b/x.mp4", "x.avi", "x-2.mkv", "X.mp4", tmp_path / "x.1", "y.tar.mp4", "e\u0301.mp4",
              "\u00e9.avi"]  # fmt: skip
    found = output_paths(inputs, "out", ".png")
    names = ["x.png", "x-2.png", "x-3.png", "x-2-2.png", "X-4.png", "x.1.png", "y.tar.png", "e\u0301.png",
             "\u00e9-2.png"]  # fmt: skip
    assert found == [pathlib.Path("out", name) for name in names]
    assert output_paths([], "out", ".png") == []
