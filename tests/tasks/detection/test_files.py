"""Annotations, detections and window weights as files: THUMOS' folders, ActivityNet's JSON, .mat, CSV; and faults."""

import contextlib
import json
import os

import numpy as np
import pytest
from scipy.io import savemat

from keras_res3d import untrusted
from keras_res3d.data.types import DataError
from keras_res3d.tasks.detection import matlab
from keras_res3d.tasks.detection.annotations import read_annotations
from keras_res3d.tasks.detection.detections import read_detections, write_detections
from keras_res3d.tasks.detection.moments import Annotations, Detections
from keras_res3d.tasks.detection.weights_file import read_window_weights, write_window_weights
from keras_res3d.tasks.detection.window_weights import window_weights


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "detclasslist.txt").write_text("7 Run\n9 Dive\n")
    (tmp_path / "Run_test.txt").write_text("video_test_0000004  1.0 2.5\n\nvideo_test_0000012 0 3\n")
    (tmp_path / "Dive_test.txt").write_text("\ufeffvideo_test_0000004 2 4\r\n", "utf-8")
    (tmp_path / "Ambiguous_test.txt").write_text("video_test_0000004 5 6\n")
    return tmp_path


def test_a_folder_of_thumos(folder):
    found = read_annotations(folder)
    assert found.classes == ("Run", "Dive") and len(found) == 4
    rows = set(zip(found.videos, found.labels.tolist(), map(tuple, found.spans.tolist()), strict=True))
    four, twelve = "video_test_0000004", "video_test_0000012"
    assert rows == {(four, 0, (1, 2.5)), (twelve, 0, (0, 3)), (four, 1, (2, 4)), (four, -1, (5, 6))}
    assert found.spans_of(four) == {"Run": [(1, 2.5)], "Dive": [(2, 4)]} and found.spans_of("x") == {}
    (folder / "detclasslist.txt").unlink()
    assert read_annotations(folder).classes == ("Dive", "Run")
    (folder / "Run_val.txt").write_text("a 1 2\n")
    with pytest.raises(DataError, match="test, val; say which"):
        read_annotations(folder)
    assert read_annotations(folder, "val").videos == ("a",)
    assert found.without([four]).videos == (twelve,)


def test_every_fault_of_a_folder_is_named(folder):
    (folder / "detclasslist.txt").write_text("1 Run\n2 Dive\n3 Jump\n3 Other\nx\n")
    (folder / "Run_test.txt").write_text("v 3 1\nv -1 1\nv 1\nv a b\nv 1 nan\nv 2 2\n")
    (folder / "Swim_test.txt").write_text("v 1 2\n")
    with pytest.raises(DataError) as raised:
        read_annotations(folder)
    text = "\n".join(raised.value.faults)
    for words in ("missing file Jump_test.txt", "unknown class 'Swim'", "Run_test.txt line 1: v: reversed times",
                  "line 2: v: negative time", "line 3: 'v 1'; expected", "line 4", "line 5: v: time that is not finite",
                  "line 6: v: reversed", "detclasslist.txt line 4", "detclasslist.txt line 5"):  # fmt: skip
        assert words in text
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        read_annotations("nowhere")


def _activitynet(path, **more):
    database = {
        "a": {"duration": 10, "subset": "validation", "annotations": [{"segment": [1, 2.5], "label": "Run"}]},
        "b": {"duration": 5.5, "subset": "training", "annotations": [{"segment": [0, 5.5], "label": "Dive"}]},
        "quiet": {"duration": 3, "subset": "validation", "annotations": []},
    } | more
    path.write_text(json.dumps({"version": "1", "database": database}))
    return path


def test_json_of_activitynet(tmp_path):
    path = _activitynet(tmp_path / "a.json")
    found = read_annotations(path)
    assert found.classes == ("Dive", "Run") and found.videos == ("a", "b") and found.labels.tolist() == [1, 0]
    part = read_annotations(path, "validation")
    assert part.videos == ("a",) and part.durations == {"a": 10, "quiet": 3} and part.classes == ("Dive", "Run")
    with pytest.raises(DataError, match="no instance of an action in the subset testing"):
        read_annotations(path, "testing")


@pytest.mark.parametrize("video", [
    {"annotations": [{"segment": [1, 12], "label": "Run"}], "duration": 10}, {"annotations": 3}, 3, {"duration": -1},
    {"annotations": [{"segment": [2, 1], "label": "Run"}]}, {"annotations": [{"segment": [True, 1], "label": "Run"}]},
    {"annotations": [{"segment": [1], "label": "Run"}]}, {"annotations": [{"segment": [0, 1], "label": 4}]},
    {"annotations": [{"segment": [0, 10**400], "label": "Run"}]}, {"annotations": ["x"]}, {"duration": "long"},
])  # fmt: skip
def test_faults_of_json(tmp_path, video):
    with pytest.raises(DataError, match="1 fault"):
        read_annotations(_activitynet(tmp_path / "a.json", c=video))


GOOD_JSON = '{"database": {"a": {"annotations": [{"segment": [1, 2], "label": "Run"}]}}}'


@pytest.mark.parametrize("content", [
    b"{", b"[]", b'{"database": 3}', b"\xff\xfe", b"[" * 100_000, GOOD_JSON.encode("utf-16"),
])  # fmt: skip
def test_a_file_that_is_no_json(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError):
        read_annotations(tmp_path / "a.json")


def test_no_json_is_read_beyond_the_limit_of_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text(GOOD_JSON, "utf-8-sig")
    assert read_annotations(path).videos == ("a",)
    monkeypatch.setattr(untrusted, "MAX_JSON_BYTES", 60)
    for read in (read_annotations, read_window_weights, lambda path: read_detections(path, ANNOTATIONS)):
        with pytest.raises(DataError, match=r"no JSON \(it has more than"):
            read(path)


ANNOTATIONS = Annotations("made", ("Run", "Dive"), ("clip_07",), [0], [[1, 2]], {"clip_07": 20.0})


def _matrix(*rows):
    table = np.zeros((len(rows), 14))
    table[:, [0, 1, 4, 5, 8, 10]] = rows
    return {"seg_swin": table}


def test_the_released_matrix(tmp_path):
    savemat(tmp_path / "d.mat", _matrix((7, 16, 0.2, 0.8, 0.5, 2), (12, 512, 1, 21, 1.0, 1), (7, 16, 0, 1, 0.9, 0)))
    found = read_detections(tmp_path / "d.mat", ANNOTATIONS)
    assert found.videos == ("clip_07", "clip_12") and found.labels.tolist() == [1, 0] and found.raw
    assert found.windows.tolist() == [16, 512] and found.scores.tolist() == [0.5, 1] and found.spans[0, 1] == 0.8


@pytest.mark.parametrize(("row", "words"), [
    ((7, 16, 1, 2, 0.5, 3), "unknown class '3'"), ((7, 16, 1, 2, 0.5, 1.5), "whole numbers"),
    ((7, 16, 2, 1, 0.5, 1), "reversed times"), ((7, 16, -1, 1, 0.5, 1), "negative time"),
    ((7, 16, 15, 20.2, 0.5, 1), "beyond the video"), ((7, 16, 1, 2, np.nan, 1), "score that is not finite"),
    ((np.nan, 16, 1, 2, 0.5, 1), "whole numbers"), ((7, 0, 1, 2, 0.5, 1), "whole numbers"),
    ((7, 16, np.inf, 2, 0.5, 1), "not finite"), ((-7, 16, 1, 2, 0.5, 1), "whole numbers"),
])  # fmt: skip
def test_faults_of_a_matrix(tmp_path, row, words):
    savemat(tmp_path / "d.mat", _matrix(row))
    with pytest.raises(DataError, match=words):
        read_detections(tmp_path / "d.mat", ANNOTATIONS)


def test_files_that_are_no_detections(tmp_path):
    savemat(tmp_path / "narrow.mat", {"seg_swin": np.ones((2, 5))})
    savemat(tmp_path / "other.mat", {"a": np.ones((2, 14)), "b": np.ones((2, 14))})
    (tmp_path / "broken.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(range(200)))
    (tmp_path / "empty.mat").write_bytes(b"")
    (tmp_path / "columns.csv").write_text("video,end\nclip_07,1\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.csv").write_bytes(b"video,begin,end,label,score\n\xe9,1,2,Run,1\n")
    (tmp_path / "lines.csv").write_text("video,begin,end,label,score\nclip_07,1,2,Run\nclip_07,x,2,Run,1\n")
    header = "video,begin,end,label,score"
    (tmp_path / "twice.csv").write_text(f"{header},score\nclip_07,1,2,Run,1,0.5\n")
    (tmp_path / "begins.csv").write_text(f"{header},start\nclip_07,1,2,Run,1,1\n")
    (tmp_path / "surplus.csv").write_text(f"{header}\nclip_07,1,2,Run,1,0.5\n")
    (tmp_path / "quotes.csv").write_text(f'{header}\nclip_07,1,2,Run,"1"0\n')
    (tmp_path / "unknown.csv").write_text("video,begin,end,label,score\nclip_07,1,2,Fly,1\n")
    (tmp_path / "rows.json").write_text('{"results": {"clip_07": [{"label": "Run", "score": "1", "segment": [1, 2]}]}}')
    (tmp_path / "text.txt").write_text("")
    words = {"narrow.mat": "5 columns", "other.mat": "no matrix seg_swin", "broken.mat": "cannot be read",
             "empty.mat": "cannot be read", "columns.csv": "begin, label, score are missing",
             "empty.csv": "there are none", "latin.csv": "UTF-8", "lines.csv": "2 faults",
             "twice.csv": "the column score is there twice", "begins.csv": r"begin is there twice \(start is begin\)",
             "surplus.csv": "line 2: 6 fields; expected 5", "quotes.csv": "line 2: malformed",
             "unknown.csv": "line 2: unknown class 'Fly'", "rows.json": "detection 1: expected",
             "text.txt": "neither"}  # fmt: skip
    for name, expected in words.items():
        with pytest.raises(DataError, match=expected):
            read_detections(tmp_path / name, ANNOTATIONS)
    for name in ("none.mat", "none.csv", "none.json"):
        with pytest.raises(FileNotFoundError, match="not there"):
            read_detections(tmp_path / name, ANNOTATIONS)


def _crash(item):
    os.abort()


def test_a_file_that_crashes_its_reader_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "_read", _crash)
    (tmp_path / "d.mat").touch()
    with pytest.raises(DataError, match=r"d\.mat: 1 fault\n  SciPy, .* crashes on the file; it is damaged"):
        read_detections(tmp_path / "d.mat", ANNOTATIONS)


@pytest.mark.parametrize("kind", [9 + 16, 9 + 128, 9 + 256 * 4, 9 + 256 * 64])
def test_a_matrix_of_unknown_numbers_does_not_end_the_process(tmp_path, kind):
    """SciPy 1.17 and 1.18 take the kind of the numbers for a place in a table, and read what lies beyond it: mostly it
    crashes them, sometimes it is an error. Here it only has to leave this process alive.
    """
    savemat(tmp_path / "d.mat", _matrix((7, 16, 0.2, 0.8, 0.5, 2)))
    data = bytearray((tmp_path / "d.mat").read_bytes())
    assert data[176:186] == b"seg_swin\x09\0"  # the numbers are of kind 9: doubles
    data[184:186] = kind.to_bytes(2, "little")
    (tmp_path / "d.mat").write_bytes(data)
    with contextlib.suppress(DataError):
        read_detections(tmp_path / "d.mat", ANNOTATIONS)


@pytest.mark.parametrize("windows", [None, [16, 512, 64]])
@pytest.mark.parametrize("extension", [".csv", ".json"])
def test_what_is_written_is_read_again(tmp_path, extension, windows):
    spans, scores = [[0.1 + 0.2, 1], [2, 3.3], [0, 20]], [1 / 3, 1e-300, 0.5]
    made = Detections("made", ("Run", "Dive"), ("a, b", "ü\n", "a, b"), [0, 1, 1], spans, scores, windows)
    found = read_detections(write_detections(made, tmp_path / f"d{extension}"), ANNOTATIONS)
    order = [found.scores.tolist().index(score) for score in made.scores]
    assert tuple(found.videos[row] for row in order) == made.videos and not found.raw
    assert found.spans[order].tolist() == made.spans.tolist() and found.labels[order].tolist() == made.labels.tolist()
    assert (None if found.windows is None else found.windows[order].tolist()) == windows
    with pytest.raises(ValueError, match=r"\.csv or \.json"):
        write_detections(made, tmp_path / "d.txt")


def test_no_detection_at_all_is_no_fault(tmp_path):
    (tmp_path / "none.csv").write_text("video,start,end,label,score\n")
    (tmp_path / "none.json").write_text('{"results": {}}')
    assert len(read_detections(tmp_path / "none.csv", ANNOTATIONS)) == 0
    assert len(read_detections(tmp_path / "none.json", ANNOTATIONS)) == 0


def test_proposals_need_no_labels(tmp_path):
    table = _matrix((7, 16, 0.2, 0.8, 0.5, 2), (12, 512, 1, 21, 1.0, 0))
    table["seg_swin"][:, 9] = 0.25, 0.75
    savemat(tmp_path / "d.mat", table)
    found = read_detections(tmp_path / "d.mat", ANNOTATIONS, proposals=True)
    assert found.scores.tolist() == [0.25, 0.75] and found.windows.tolist() == [16, 512]
    (tmp_path / "none.csv").write_text("video,start,end,score\nclip_07,1,2,0.5\n")
    (tmp_path / "empty.csv").write_text("video,begin,end,label,score\nclip_07,1,2,,0.5\n")
    (tmp_path / "other.csv").write_text("label,video,begin,end,score\nFly,clip_07,1,2,0.5\n")
    (tmp_path / "none.json").write_text('{"results": {"clip_07": [{"score": 0.5, "segment": [1, 2]}]}}')
    for name in ("none.csv", "empty.csv", "other.csv", "none.json"):
        one = read_detections(tmp_path / name, ANNOTATIONS, proposals=True)
        assert one.videos == ("clip_07",) and one.spans.tolist() == [[1, 2]] and one.scores.tolist() == [0.5]
        assert one.classes == found.classes == ("action",) and one.labels.tolist() == [0]
        with pytest.raises(DataError, match=r"label are missing.*as proposals|unknown class|expected label"):
            read_detections(tmp_path / name, ANNOTATIONS)
    (tmp_path / "late.csv").write_text("video,begin,end,score\nclip_07,1,2,x\nclip_07,19,21,1\n")
    with pytest.raises(DataError, match="2 faults"):
        read_detections(tmp_path / "late.csv", ANNOTATIONS, proposals=True)


def test_annotations_with_a_class_twice_are_refused(tmp_path):
    video = {"annotations": [{"segment": [0, 1], "label": "run"}]}
    (tmp_path / "a.json").write_text(json.dumps({"classes": ["run", "run", "jump"], "database": {"v": video}}))
    with pytest.raises(DataError, match="the class 'run' is listed twice"):
        read_annotations(tmp_path / "a.json")


def test_window_weights_as_files(tmp_path):
    made = window_weights([0.6, 0.9, 5, 20], [0, 1, 1, 1], ("Run", "Dive"))
    found = read_window_weights(write_window_weights(made, tmp_path / "w.json"))
    assert found.classes == made.classes and (found.table == made.table).all() and found.lengths == made.lengths
    savemat(tmp_path / "w.mat", {"weight": made.table})
    released = read_window_weights(tmp_path / "w.mat")
    assert released.classes is None and (released.table == made.table).all()
    savemat(tmp_path / "short.mat", {"weight": made.table[:5]})
    for name, text in {"x.json": '{"weights": {"lengths": [16], "classes": {"Run": [1, 2]}}}', "y.json": "{}",
                       "z.json": '{"weights": {"lengths": 3, "classes": {"Run": [1]}}}',
                       "w.json": '{"weights": {"lengths": [16, 16], "classes": {"Run": [1, 2]}}}',
                       "v.json": '{"weights": {"lengths": [16], "classes": 3}}'}.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    for name in ("short.mat", "x.json", "y.json", "z.json", "v.json", "w.json"):
        with pytest.raises(DataError):
            read_window_weights(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_window_weights(tmp_path / "none.json")
    with pytest.raises(ValueError, match="no names"):
        write_window_weights(released, tmp_path / "u.json")


def test_the_released_window_weights_follow_from_the_validation_annotations(shared_data):
    folder = shared_data / "thumos14_res3d"
    if not folder.is_dir():
        pytest.skip("THUMOS' annotations are not there")
    found = read_annotations(folder / "annotation_val")
    actions = found.labels >= 0
    made = window_weights(np.diff(found.spans[actions])[:, 0], found.labels[actions], found.classes)
    assert (made.table == read_window_weights(folder / "weight.mat").table).all()
