"""The public data sets' lists: the published counts, and every fault named."""

import shutil

import numpy as np
import pytest

from keras_res3d.data.batches import video_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.data.labels import label_names
from keras_res3d.data.layouts.reading import Layout
from keras_res3d.data.layouts.registry import LAYOUTS
from keras_res3d.data.listing import Row
from keras_res3d.data.open import read_layout
from keras_res3d.data.types import DataError, Example


def write(folder, **texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_bytes(text.encode())
    return folder


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return str(path)


@pytest.mark.parametrize("split, train, test", [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)])
def test_ucf101_as_published(shared_data, split, train, test):
    sets = [read_layout("ucf101", shared_data / "lists" / "ucf101", "videos", split, subset, check_files=False)
            for subset in ("train", "test")]
    assert [len(data) for data in sets] == [train, test]
    assert sets[0].classes == sets[1].classes and sets[0].classes[:2] == ("ApplyEyeMakeup", "ApplyLipstick")
    assert sets[0].classes == label_names("ucf101")
    groups = [{example.group for example in data.examples} for data in sets]
    assert len(groups[0] | groups[1]) == 101 * 25 and not groups[0] & groups[1]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51_as_published(shared_data, split):
    sets = {subset: read_layout("hmdb51", shared_data / "lists" / "hmdb51", "videos", split, subset, check_files=False)
            for subset in ("train", "test", "unused")}
    assert [len(data) for data in sets.values()] == [3570, 1530, 1666]
    assert all(data.classes == label_names("hmdb51") for data in sets.values())
    assert np.bincount([example.label for example in sets["train"].examples]).tolist() == [70] * 51
    groups = [{example.group for example in data.examples} for data in sets.values()]
    assert not groups[0] & groups[1]
    assert "sit/50_FIRST_DATES" in groups[0] | groups[1] | groups[2]


def test_ucf101_paths_labels_and_given_classes(tmp_path):
    lists = write(tmp_path / "lists", classInd__txt="1 Run\r\n2 Walk\r\n",
                  trainlist01__txt="Walk/v_Walk_g03_c01.avi 2\r\nRun/v_Run ü_g03_c02.avi 1\r\n")
    files = [touch(tmp_path / "v" / name) for name in ("Walk/v_Walk_g03_c01.avi", "Run/v_Run ü_g03_c02.avi")]
    data = read_layout("ucf101", lists, tmp_path / "v")
    assert data.examples == (Example(files[0], 1, "Walk/g03"), Example(files[1], 0, "Run/g03"))
    assert [e.label for e in read_layout("ucf101", lists, tmp_path / "v", classes=["Walk", "Run"]).examples] == [0, 1]


def test_every_fault_of_ucf101_lists_is_named(tmp_path):
    lists = write(tmp_path, classInd__txt="1 Run\n3 Walk\n", trainlist01__txt=(
        "Run/v_Run_g01_c01.avi 1\nRun/v_Run_g01_c01.avi 1\nRun/v_Run_g01_c02.avi 2\nnonsense\n"
        "Fly/v_Fly_g01_c01.avi 1\n"))
    with pytest.raises(DataError) as caught:
        read_layout("ucf101", lists, tmp_path, check_files=False)
    text = str(caught.value)
    for expected in ("classInd.txt line 2: malformed", "trainlist01.txt line 2: duplicate of trainlist01.txt line 1",
                     "line 3: label 2 of a video of 'Run', which classInd.txt calls 1", "line 4: malformed: 'nonsense'",
                     "line 5: label 'Fly' is not one of"):
        assert expected in text, expected
    assert len(caught.value.faults) == 5
    with pytest.raises(DataError, match="line 1: missing file"):
        read_layout("ucf101", lists, tmp_path)
    with pytest.raises(DataError, match="no list"):
        read_layout("ucf101", lists, tmp_path, split=2)


def test_faults_of_hmdb51_lists(tmp_path):
    lists = write(tmp_path, run_test_split1__txt="a_run_f_cm_np1_ba_bad_0.avi 1 \nb.avi 3\n",
                  walk_test_split1__txt="\n")
    with pytest.raises(DataError, match=r"run_test_split1.txt line 2: malformed") as caught:
        read_layout("hmdb51", lists, tmp_path)
    assert len(caught.value.faults) == 2  # and the missing file
    with pytest.raises(DataError, match=r"no list CLASS_test_split2\.txt"):
        read_layout("hmdb51", lists, tmp_path, split=2)


KINETICS = "label,youtube_id,time_start,time_end,split\n"


@pytest.mark.parametrize("flat", [True, False])
def test_kinetics(tmp_path, flat):
    lists = write(tmp_path / "lists",
                  train__csv=f'{KINETICS}air drumming,-abc_1,10,20,train\n"hug, long",x y,0,10,train\n',
                  val__csv=f"{KINETICS}air drumming,zzz,5,15,val\n")
    root = tmp_path / "videos"
    files = [touch(root / ("" if flat else "air_drumming") / "-abc_1_000010_000020.mp4"),
             touch(root / ("" if flat else "hug, long") / "x y.mkv"), touch(root / "zzz.mp4")]
    data = read_layout("kinetics", lists, root)
    assert data.classes == ("air drumming", "hug, long")
    assert data.examples == (Example(files[0], 0, "-abc_1"), Example(files[1], 1, "x y"))
    held_out = read_layout("kinetics", lists, root, subset="validation", classes=data.classes)
    assert held_out.examples == (Example(files[2], 0, "zzz"),)
    assert read_layout("kinetics", lists / "train.csv", root) == read_layout("kinetics", lists / "train.csv", root)


def test_kinetics_class_order_and_faults(tmp_path, shared_data):
    shutil.copy(shared_data / "lists" / "kinetics" / "label_map.txt", tmp_path)
    write(tmp_path, train__csv=f"{KINETICS}abseiling,a,1,x,train\nfly,b,1,2,train\nabseiling,,1,2,train\nshort\n"
                               "air drumming,c,3,4,train\nair drumming,c,3,4,train\n")
    with pytest.raises(DataError) as caught:
        read_layout("kinetics", tmp_path, tmp_path)
    text = str(caught.value)
    for expected in ("line 2: malformed: times '1', 'x'", "line 3: label 'fly' is not one of the 400", "line 4: empty",
                     "line 5: malformed: 1 fields", "line 6: missing file c_000003_000004.mp4", "line 7: duplicate"):
        assert expected in text, expected
    write(tmp_path, train__csv=f"{KINETICS}air drumming,c,3,4,train\n")
    data = read_layout("kinetics", tmp_path, tmp_path, check_files=False)
    assert data.classes == label_names("kinetics400") and data.examples[0].label == 1
    with pytest.raises(DataError, match="header is"):
        read_layout("kinetics", write(tmp_path / "b", train__csv="a,b\n"), tmp_path)


def test_sports1m(tmp_path, shared_data):
    lists = write(tmp_path / "lists", train_partition__txt=(
        "https://www.youtube.com/watch?v=a-_bcdefghi 3\nhttp://youtu.be/bbbbbbbbbbb 486,2\n"))
    shutil.copy(shared_data / "lists" / "sports1m" / "labels.txt", lists)
    files = [touch(tmp_path / "v" / "a-_bcdefghi.mp4"), touch(tmp_path / "v" / "deep" / "bbbbbbbbbbb.webm")]
    with pytest.warns(UserWarning, match="1 videos have several labels; the first counts"):
        data = read_layout("sports1m", lists, tmp_path / "v")
    assert data.examples == (Example(files[0], 3), Example(files[1], 486)) and data.classes == label_names("sports1m")
    write(lists, test_partition__txt="https://www.youtube.com/watch?v=ccc 487\nhttps://www.youtube.com/watch?v=ddd\n"
                                     "https://www.youtube.com/watch?v=eee 1\n")
    with pytest.raises(DataError) as caught:
        read_layout("sports1m", lists, tmp_path, subset="test")
    assert [fault.split(":")[1].split(";")[0].strip() for fault in caught.value.faults] == [
        "label 487", "malformed", "missing file eee.mp4, in " + str(tmp_path) + " or its folders"]


@pytest.fixture
def frame_folders(tmp_path):
    from PIL import Image

    for name in ("run a", "walk"):
        folder = tmp_path / "frames" / name
        folder.mkdir(parents=True)
        for number in range(1, 41):
            Image.new("RGB", (40, 32), (number * 6,) * 3).save(folder / f"{number:06d}.jpg", quality=95)
    return tmp_path / "frames"


def test_caffe_frame_lists(tmp_path, frame_folders):
    lists = write(tmp_path / "lists", train_01__lst="run a 1 0\nrun a 17 0\nwalk/ 33 1\n")
    data = read_layout("caffe", lists, frame_folders, classes=["run", "walk"])
    assert [(e.label, e.first_frame, e.frames) for e in data.examples] == [(0, 1, 16), (0, 17, 16), (1, 33, 16)]
    assert read_layout("caffe", lists / "train_01.lst", frame_folders).classes == ("0", "1")
    with data.open(2) as video:
        assert video.num_frames == 8
    sampling = Sampling(crop=(112, 112))
    clips = np.concatenate([c for c, _, _ in video_batches(data, sampling, 3, clips=1, preprocess=False)])
    # The released net's clip: from the line's first frame, every second one.
    assert np.abs(clips[1].mean((1, 2, 3)) - 6 * np.arange(17, 33, 2)).max() < 2


def test_faults_of_frame_lists(tmp_path, frame_folders):
    lists = write(tmp_path / "lists", test__txt="run a 0 0\nwalk 41 0\nnone 1 0\nwalk 1 2\nwalk 1 x\n"
                                                     "walk 1 0\nwalk 1 0\n")
    with pytest.raises(DataError) as caught:
        read_layout("caffe", lists, frame_folders, subset="test", classes=["run", "walk"])
    starts = sorted(fault.split(":")[0] + ":" + fault.split(":")[1][:12] for fault in caught.value.faults)
    assert starts == ["test.txt line 1: malformed", "test.txt line 2: first frame", "test.txt line 3: missing fra",
                      "test.txt line 4: label 2; ex", "test.txt line 5: malformed", "test.txt line 7: duplicate o"]


def test_folders_of_subsets(tmp_path):
    for subset, names in (("train", "abc"), ("test", "de")):
        for name in names:
            touch(tmp_path / subset / ("walk" if name in "ad" else "run") / f"{name}.mp4")
    train = read_layout("folders", tmp_path, tmp_path)
    test = read_layout("folders", tmp_path, tmp_path, subset="test", classes=train.classes)
    assert train.classes == test.classes == ("run", "walk") and (len(train), len(test)) == (3, 2)
    with pytest.raises(DataError, match=r"no folder .*train; expected a folder of class folders"):
        read_layout("folders", tmp_path / "train", tmp_path)


def test_csv_lists_apart_from_their_videos(tmp_path):
    files = [touch(tmp_path / "v" / name) for name in ("a.mp4", "b.mp4")]
    lists = write(tmp_path / "lists", train__csv="path,label,group\na.mp4,walk,g1\n",
                  test__csv="path,label\nb.mp4,walk\n")
    assert read_layout("csv", lists, tmp_path / "v").examples == (Example(files[0], 0, "g1"),)
    assert read_layout("csv", lists, tmp_path / "v", subset="test").examples == (Example(files[1], 0),)
    assert read_layout("csv", lists / "test.csv", tmp_path / "v").examples == (Example(files[1], 0),)
    assert read_layout("csv", lists, "elsewhere", check_files=False).examples[0].path.startswith("elsewhere")
    write(lists, train__csv="path,label\na.mp4,walk\n./a.mp4,walk\n")
    with pytest.raises(DataError) as caught:
        read_layout("csv", lists, tmp_path / "v")
    assert caught.value.faults == (f"line 3: duplicate of line 2, {tmp_path}/v/a.mp4",)


def test_a_layout_is_a_function_and_a_line(tmp_path, monkeypatch):
    def read(reading):
        lines = [(where, *text.split(" ")) for where, text in reading.lines(reading.lists / f"{reading.subset}.lst")]
        for where, name, _ in lines:
            reading.need(where, reading.root / name)
        return [Row(where, reading.root / name, label) for where, name, label in lines], ()

    monkeypatch.setitem(LAYOUTS, "own", Layout(read))
    write(tmp_path, train__lst="a.mp4 walk\nb.mp4 run\n", test__lst="a.mp4 walk\r\na.mp4 walk\rc.mp4 fly\n")
    touch(tmp_path / "a.mp4"), touch(tmp_path / "b.mp4")
    train = read_layout("own", tmp_path, tmp_path)
    assert train.classes == ("run", "walk") and [e.label for e in train.examples] == [1, 0]
    with pytest.raises(DataError) as caught:
        read_layout("own", tmp_path, tmp_path, subset="test", classes=train.classes)
    assert [fault.split(";")[0] for fault in caught.value.faults] == [
        f"test.lst line 3: missing file {tmp_path / 'c.mp4'}",
        f"test.lst line 2: duplicate of test.lst line 1, {tmp_path / 'a.mp4'}",
        "test.lst line 3: label 'fly' is not one of the 2 classes ['run', 'walk']"]


@pytest.mark.parametrize("layout, text, message", [
    ("caffe", "a\0b 1 0\n", "line 1: malformed: a NUL character in 'a.x00b 1 0'"),
    ("caffe", f"a {'9' * 5000} 0\n", "malformed"), ("caffe", f"a 1 {'9' * 5000}\n", "malformed"),
    ("sports1m", f"youtu.be/abc {'9' * 5000}\n", "malformed"),
    ("kinetics", "label,youtube_id,time_start,time_end,split\na,b,1e999,2,train\n", "malformed: times"),
    ("kinetics", "label,youtube_id,time_start,time_end,split\n\"a\",b,\"x\"y,2,train\n", "malformed"),
])
def test_numbers_out_of_all_bounds_are_malformed_lines(tmp_path, layout, text, message):
    (tmp_path / "list").write_text(text)
    with pytest.raises(DataError, match=message):
        read_layout(layout, tmp_path / "list", tmp_path)


@pytest.mark.parametrize("layout, lists, there, gone", [
    ("ucf101", {"classInd__txt": "1 A\n2 B\n", "trainlist01__txt": "A/v_A_g01_c01.avi 1\nB/v_B_g01_c01.avi 2\n"},
     "A/v_A_g01_c01.avi", "B/v_B_g01_c01.avi"),
    ("hmdb51", {"A_test_split1__txt": "a.avi 1\n", "B_test_split1__txt": "b.avi 1\n"}, "A/a.avi", "B/b.avi"),
    ("kinetics", {"train__csv": f"{KINETICS}A,a,1,2,train\nB,b,3,4,train\n"}, "a.mp4", "b_000003_000004.mp4"),
    ("caffe", {"train__lst": "a 1 0\nb 1 1\n"}, "a/1.jpg", "b"),
    ("csv", {"train__csv": "path,label\na.mp4,A\nb.mp4,B\n"}, "a.mp4", "b.mp4"),
])
def test_missing_videos_of_any_layout_are_left_out_where_that_is_asked_for(tmp_path, layout, lists, there, gone):
    write(tmp_path / "lists", **lists)
    touch(tmp_path / "v" / there)
    with pytest.raises(DataError, match=r"line \d: missing") as caught:
        read_layout(layout, tmp_path / "lists", tmp_path / "v")
    assert len(caught.value.faults) == 1
    with pytest.warns(UserWarning, match="1 of 2 videos are missing and left out"):
        data = read_layout(layout, tmp_path / "lists", tmp_path / "v", skip_missing=True)
    assert data.missing == (str(tmp_path / "v" / gone),) and len(data.classes) == 2
    assert [example.label for example in data.examples] == [0]
    shutil.rmtree(tmp_path / "v")
    with pytest.raises(DataError, match="all 2 videos are missing"):
        read_layout(layout, tmp_path / "lists", tmp_path / "v", skip_missing=True)


def test_wrong_calls(tmp_path):
    with pytest.raises(ValueError, match=r"expected one of .*'ucf101'"):
        read_layout("ucf", tmp_path, tmp_path)
    with pytest.raises(ValueError, match="subset is 'valid'"):
        read_layout("ucf101", tmp_path, tmp_path, subset="valid")
    with pytest.raises(ValueError, match="split is 0"):
        read_layout("ucf101", tmp_path, tmp_path, split=0)
    for layout, row in LAYOUTS.items():
        assert row.held_out in row.subsets
        with pytest.raises(DataError):
            read_layout(layout, tmp_path / "nowhere", tmp_path)
        with pytest.raises(DataError):
            read_layout(layout, tmp_path, tmp_path)


def test_all_labels_of_sports1m(tmp_path, shared_data, recwarn):
    write(tmp_path, train_partition__txt="http://youtu.be/aaa 3\nhttp://youtu.be/bbb 486,2,486\n")
    shutil.copy(shared_data / "lists" / "sports1m" / "labels.txt", tmp_path)
    data = read_layout("sports1m", tmp_path, tmp_path, check_files=False, multi_label=True)
    assert [example.labels for example in data.examples] == [(3,), (2, 486)]
    assert data.classes == label_names("sports1m") and not recwarn.list
    with pytest.raises(DataError, match="the layout ucf101 gives each video one label"):
        read_layout("ucf101", tmp_path, tmp_path, multi_label=True)


def test_a_root_that_is_a_file_is_named(tmp_path):
    (tmp_path / "train.csv").write_text("path,label\na.mp4,run\n")
    with pytest.raises(DataError, match=r"train\.csv is a file; expected the folder of the videos"):
        read_layout("ucf101", tmp_path / "train.csv", tmp_path / "train.csv")
