"""Faults: each of a kind, 20 of which are shown; notes of classes; a data set in one line."""

import pickle

import pytest

from keras_res3d.data.faults import Fault, kind_of, prefixed, shown
from keras_res3d.data.listing import class_notes
from keras_res3d.data.open import VideoFiles, read_data_set
from keras_res3d.data.types import DataError, Example


@pytest.mark.parametrize("fault, kind", [
    ("line 3: missing file /a b/c.mp4", "missing file"), ("trainlist01.txt line 12: malformed: 'x'; expected 'y'",
                                                          "malformed expected"),
    ("label 'not a' is not one of the 2 classes", "label is"), ("class \"it's\" has no video", "class has"),
    ("", "others"), (Fault("/a b/c.mp4: cut short", "damaged video"), "damaged video"),
])
def test_the_kind_of_a_fault(fault, kind):
    assert kind_of(fault) == kind
    whole = prefixed("list", fault)
    assert whole == f"list: {fault}" and kind_of(whole) == kind
    assert pickle.loads(pickle.dumps(whole)).kind == kind


def test_twenty_of_a_kind_are_shown_and_the_others_counted():
    faults = [text for n in range(33) for text in (f"line {n}: missing file {n}", f"line {n}: label '{n}' is not x")]
    lines = shown([*faults[:50], "class 'a' has no video", *faults[50:]])
    assert lines[:40] == [*faults[:39], "... and 13 more of this kind (missing file)"]
    assert lines[40:] == [faults[39], "... and 13 more of this kind (label is)", "class 'a' has no video"]
    assert shown(faults[:40]) == faults[:40] and shown([]) == []


def test_the_error_of_a_data_set_stays_readable_and_keeps_every_fault():
    error = DataError("list.csv", [f"line {n}: missing file {n}.mp4" for n in range(5000)])
    lines = str(error).splitlines()
    assert lines[0] == "list.csv: 5000 faults" and len(lines) == 22 and len(error.faults) == 5000
    assert lines[-1] == "  ... and 4980 more of this kind (missing file)"


def test_notes_of_classes():
    assert class_notes(("run", "walk"), {"run", "walk"}, given=False) == []
    assert class_notes(("Run", "run ", "jump", "walk"), {"Run", "run ", "jump", "walk"}, False) == [
        "classes that differ in case or white space alone: 'Run' and 'run '"]
    # The same letters, composed in one and not in the other.
    assert len(class_notes(("f\u00fcr", "fu\u0308r"), {"f\u00fcr", "fu\u0308r"}, False)) == 1
    assert class_notes(("run",), {"run"}, False) == ["all videos are of one class, 'run', so a net learns nothing"]
    assert class_notes(("run", "walk", "fly"), {"walk"}, True) == ["no video of 2 of 3 classes: ['run', 'fly']"]
    assert class_notes(("run", "walk", "fly"), {"walk"}, False) == []


def test_reading_warns_once_of_each(tmp_path, recwarn):
    for label in ("Run", "run"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.mp4").write_bytes(b"x")
    read_data_set(tmp_path, classes=["Run", "run", "fly"])
    said = sorted(str(each.message).removeprefix(f"{tmp_path}: ") for each in recwarn)
    assert said == ["classes that differ in case or white space alone: 'Run' and 'run'",
                    "no video of 1 of 3 classes: ['fly']"]


def test_a_data_set_is_one_line(tmp_path):
    data = VideoFiles(tuple(Example(f"{n}.mp4", 0) for n in range(120)), ("a", "b"), "odd\nname.csv")
    assert repr(data) == "<VideoFiles: 120 videos of 2 classes from odd\\nname.csv>"
    assert repr(read_data_set("motion")) == "<MotionDataSet: 1600 videos of 8 classes from motion/train>"
