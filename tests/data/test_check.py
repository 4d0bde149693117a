"""One pass that names every fault, and children that survive a crashing decoder."""

import os
import shutil
import signal
import time

import numpy as np
import pytest

from keras_res3d.data.check import as_listing, preflight, probe, probe_files
from keras_res3d.data.children import map_in_children
from keras_res3d.data.open import VideoFiles, list_layout, list_videos, read_data_set
from keras_res3d.data.pack import pack
from keras_res3d.data.types import Example


def lists(folder, **texts):
    for name in ("a", "b", "c", "d", "e"):
        (folder / f"{name}.mp4").write_bytes(b"x")
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text("path,label,group\n" + text)
    return [list_videos(folder / f"{name}.csv") for name in texts]


def test_every_fault_in_one_pass(tmp_path):
    train, test = lists(tmp_path, train="a.mp4,walk,g1\nb.mp4,run,g2\nmissing.mp4,walk,g1\n./a.mp4,walk,g1\nshort\n",
                        test="c.mp4,walk,g1\nb.mp4,run,g3\nd.mp4,fly,g4\n,walk,g5\n")
    report = preflight(train, test)
    text = "\n".join(report.faults)
    for expected in ("train.csv: line 4: missing file", f"train.csv: line 5: duplicate of line 2, {tmp_path}/a.mp4",
                     "train.csv: line 6: malformed", "test.csv: line 5: empty path", "label 'fly' is not a class of",
                     f"{tmp_path / 'b.mp4'} is in both lists: line 3 of", "group 'g1' leaks: 3 videos of"):
        assert expected in text, expected
    assert len(report.faults) == 7
    assert report.counts == (("run", 1, 1), ("walk", 3, 1), ("fly", 0, 1))


def test_good_lists_have_no_faults(tmp_path):
    train, test = lists(tmp_path, train="a.mp4,walk,g1\nb.mp4,run,g2\n", test="c.mp4,walk,g3\n")
    report = preflight(train, test)
    assert report.faults == () and report.notes == (f"{tmp_path}/test.csv: class 'run' has no video",)
    assert preflight(train).counts == (("run", 1), ("walk", 1))
    motion = as_listing(read_data_set("motion"))
    assert preflight(motion, as_listing(read_data_set("motion/test"))).faults == ()


def test_real_splits_leak_nothing_and_shuffled_ones_do(shared_data):
    def ucf101(subset, split):
        return list_layout("ucf101", shared_data / "lists" / "ucf101", "v", split, subset, check_files=False)

    for layout in ("ucf101", "hmdb51"):
        both = [list_layout(layout, shared_data / "lists" / layout, "v", 1, subset, check_files=False)
                for subset in ("train", "test")]
        assert preflight(*both).faults == ()
    faults = preflight(ucf101("train", 1), ucf101("test", 2)).faults
    assert sum("leaks" in fault for fault in faults) == 101 * 7
    assert any("group 'Archery/g08' leaks" in fault and "trainlist01.txt line" in fault for fault in faults)


def test_a_class_without_a_video_is_named(tmp_path):
    train = list_videos(lists(tmp_path, train="a.mp4,walk,g1\n")[0].name, classes=["run", "walk"])
    assert preflight(train).faults == (f"{tmp_path}/train.csv: class 'run' has no video",)


def test_the_same_video_twice_in_a_list_is_named(tmp_path):
    lists(tmp_path)
    names = ("a.mp4", "b.mp4", "./a.mp4")
    data = VideoFiles(tuple(Example(f"{tmp_path}/{name}", 0) for name in names), ("x",), "own")
    report = preflight(as_listing(data))
    assert report.faults == (f"own: {tmp_path}/./a.mp4 is the same video as {tmp_path}/a.mp4; keep one of them",)
    assert report.notes == ("own: all videos are of one class, 'x', so a net learns nothing",)
    two = VideoFiles((Example(f"{tmp_path}/a.mp4", 1), Example(f"{tmp_path}/./a.mp4", 0)), ("x", "y"), "own")
    assert f"the same video as {tmp_path}/a.mp4, with the labels 'y' and 'x'" in preflight(as_listing(two)).faults[0]


def test_a_video_that_two_classes_reach_through_links_is_named_once(tmp_path):
    lists(tmp_path)
    for name in ("walk", "run"):
        (tmp_path / "v" / name).mkdir(parents=True)
        shutil.copy(tmp_path / "a.mp4", tmp_path / "v" / name / "a.mp4")
    (tmp_path / "v" / "run" / "b.mp4").symlink_to(tmp_path / "v" / "walk" / "a.mp4")
    found = list_videos(tmp_path / "v")
    report = preflight(found)
    expected = (f"{tmp_path}/v/walk/a.mp4 is the same video as {tmp_path}/v/run/b.mp4, with the labels 'run' and "
                "'walk'; keep one of them")  # fmt: skip
    assert found.faults == (expected,) and report.faults == (f"{tmp_path}/v: {expected}",)
    test = list_videos(tmp_path / "v" / "..", classes=["v"])
    assert sum("is in both lists" in fault for fault in preflight(found, test).faults) == 2


def test_parts_of_one_folder_of_frames(tmp_path):
    def part(first, folder="a"):
        return Example(str(tmp_path / folder), 0, None, first, 16)

    train = VideoFiles((part(1), part(17), part(None, "b")), ("x",), "train")
    assert preflight(as_listing(train)).faults == ()
    again = VideoFiles((*train.examples, part(17)), ("x",), "train")
    assert len(preflight(as_listing(again)).faults) == 1
    test = VideoFiles((part(33),), ("x",), "test")
    assert "is in both lists" in preflight(as_listing(train), as_listing(test)).faults[0]


def test_packed_videos_are_compared_by_content_not_by_name(tmp_path, make_video):
    rng = np.random.default_rng(0)
    for name in ("train/x/1.mp4", "train/y/2.mp4", "test/x/1.mp4", "test/y/2.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(tmp_path / name, rng.integers(0, 255, (3, 32, 48, 3), np.uint8))
    shutil.copy(tmp_path / "train/x/1.mp4", tmp_path / "test/y/other name.mp4")
    shutil.copy(tmp_path / "train/x/1.mp4", tmp_path / "train/y/3.mp4")
    sides = []
    for side in ("train", "test"):
        pack(read_data_set(tmp_path / side), tmp_path / f"{side} shards", (32, 48), workers=1)
        sides.append(as_listing(read_data_set(tmp_path / f"{side} shards")))
    faults = preflight(*sides).faults
    assert len(faults) == 2
    assert "y/3.mp4 is the same video as x/1.mp4" in faults[0]
    assert "x/1.mp4 is in both lists" in faults[1] and "y/other name.mp4 of" in faults[1]


def test_long_lists_are_compared_in_seconds():
    train, test = (
        VideoFiles(tuple(Example(f"{side}/{i % 400}/{i}.mp4", i % 400, f"g{side}{i}") for i in range(50_000)),
                   tuple(map(str, range(400))), side)
        for side in ("train", "test")
    )  # fmt: skip
    start = time.process_time()
    assert preflight(as_listing(train), as_listing(test)).faults == ()
    assert time.process_time() - start < 10


@pytest.fixture
def files(tmp_path, make_video):
    good = make_video(tmp_path / "good ü.mp4", np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8),
                      codec="h264", options={"g": "5"})
    data = good.read_bytes()
    half = tmp_path / "half.ts"
    half.write_bytes(b"x")
    (tmp_path / "text.mp4").write_text("text")
    flipped = bytearray(data)
    for place in range(len(data) // 3, len(data) // 2, 97):
        flipped[place] ^= 0xFF
    (tmp_path / "flipped.mp4").write_bytes(flipped)
    return tmp_path


def test_probing_finds_bad_files(files, shared_data):
    names = ["good ü.mp4", "text.mp4", "flipped.mp4", "none.mp4"]
    done = []
    faults = probe_files([files / name for name in names], workers=2, progress=done.append)
    assert [os.path.basename(fault.split(":")[0]) for fault in faults] == names[1:] and done == [1, 2, 3, 4]
    assert "cannot be opened" in faults[0] and "no such file" in faults[2]
    for path in sorted((shared_data / "clips").iterdir())[:2]:
        assert probe(path) is None


def test_probing_finds_a_file_cut_short(files, make_video, tmp_path):
    frames = np.random.default_rng(1).integers(0, 255, (60, 48, 64, 3), np.uint8)
    data = make_video(tmp_path / "a.avi", frames).read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[:len(data) // 2])
    assert "cut short" in probe(tmp_path / "cut.avi") and probe(tmp_path / "a.avi") is None


def _task(item):
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "error":
        raise ValueError("no good")
    time.sleep(0.02 * (item % 3))
    return item * item


def test_children_that_crash_are_named_and_the_others_go_on():
    outcomes = list(map_in_children(_task, [0, 1, "crash", 3, "error", *range(5, 20)], workers=2))
    assert [o.value for o in outcomes] == [0, 1, None, 9, None, *(n * n for n in range(5, 20))]
    assert "SIGSEGV" in outcomes[2].error and outcomes[4].error == "no good"
    assert list(map_in_children(_task, [], workers=2)) == []


def test_children_work_only_a_little_ahead():
    taken = []
    results = map_in_children(_task, (taken.append(n) or n for n in range(1000)), workers=1)
    assert next(results).value == 0
    results.close()
    assert len(taken) < 20


def test_lists_of_several_labels(tmp_path):
    lists(tmp_path, train="a.mp4,walk|run,g1\nb.mp4,run,g2\nc.mp4,,g3\n", test="d.mp4,walk,g4\ne.mp4,fly|run,g1\n")
    train, test = (list_videos(tmp_path / f"{name}.csv", multi_label=True) for name in ("train", "test"))
    report = preflight(train, test)
    assert report.counts == (("run", 2, 1), ("walk", 1, 1), ("fly", 0, 1))
    assert [fault.partition(": ")[2] for fault in report.faults[:1]] == [f"label 'fly' is not a class of {train.name}"]
    assert "group 'g1' leaks" in report.faults[1] and len(report.faults) == 2
    assert report.notes == (f"{train.name}: 1 video has no label, which is taken for an example of no class: "
                            f"{tmp_path}/c.mp4",)  # fmt: skip
    data = read_data_set(tmp_path / "train.csv", multi_label=True)
    again = as_listing(data)
    assert [row.labels for row in again.rows] == [("run", "walk"), ("run",), ()]
    assert preflight(again).counts == (("run", 2), ("walk", 1))
