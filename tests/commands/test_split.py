"""keras-res3d split: lists that check and train take; groups, columns, layouts; what is refused."""

import re

import pytest

from keras_res3d.commands.main import main
from keras_res3d.data.open import read_data_set


@pytest.fixture
def listed(tmp_path):
    lines = ["Path;Label;group;camera"]
    for number in range(24):
        label = ("run", "walk")[number % 2]
        path = tmp_path / "v" / f"{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        lines.append(f"v/{number}.mp4;{label};g{number // 4};cam{number % 3}")
    (tmp_path / "all.csv").write_text("\n".join(lines))
    return tmp_path


def call(folder, *more, data="all.csv"):
    return main(["split", "--data", str(folder / data), "--output", str(folder / "folds"), *more])


def test_lists_that_check_finds_no_fault_with(listed, capsys):
    assert call(listed, "--folds", "3", "--by", "group") == 0
    said = capsys.readouterr()
    assert "splitting 24 videos of 2 classes into 3 folds by group" in said.out
    assert "is read as separated by semicolons" in said.err and "columns that are not used: camera" in said.err
    rows = [line.split() for line in said.out.splitlines() if re.match(r" *[123] ", line)]
    assert rows == [[str(fold), "16", "8", "2", "33.3", "33.3"] for fold in (1, 2, 3)]
    assert f"wrote 6 lists, {listed}/folds/fold1_train.csv to fold3_test.csv" in said.out
    for fold in (1, 2, 3):
        halves = [str(listed / "folds" / f"fold{fold}_{half}.csv") for half in ("train", "test")]
        assert main(["check", "--data", halves[0], "--validation", halves[1]]) == 0
    before = (listed / "folds" / "fold1_test.csv").read_bytes()
    assert call(listed, "--folds", "3") == 0 and (listed / "folds" / "fold1_test.csv").read_bytes() == before
    capsys.readouterr()
    assert call(listed, "--folds", "3", "--seed", "9") == 1
    assert "is of other folds; choose another folder" in capsys.readouterr().err


def test_another_column_and_no_group(listed, capsys):
    assert call(listed, "--folds", "3", "--by", "Camera") == 0
    assert "into 3 folds by Camera" in capsys.readouterr().out
    for fold in (1, 2, 3):
        test = read_data_set(listed / "folds" / f"fold{fold}_test.csv")
        assert len({example.group for example in test.examples}) == 1 and len(test) == 8
    assert main(["split", "--data", str(listed / "all.csv"), "--output", str(listed / "x"), "--by", "city"]) == 1
    assert "header has no column 'city'" in capsys.readouterr().err
    assert main(["split", "--data", str(listed / "all.csv"), "--output", str(listed / "x"), "--by", "none"]) == 0
    said = capsys.readouterr().out
    assert "into 5 folds\n" in said and "groups" not in said


def test_class_folders_have_no_groups_and_shards_no_list(two_classes, tmp_path, capsys):
    flags = ["split", "--output", str(tmp_path), "--folds", "2"]
    assert main([*flags, "--data", str(two_classes)]) == 0
    assert "there are no groups: the classes alone are spread evenly" in capsys.readouterr().out
    assert main([*flags, "--data", str(two_classes), "--by", "group"]) == 1
    assert "has no groups; a CSV list has them" in capsys.readouterr().err
    assert main([*flags, "--data", str(two_classes), "--by", "camera"]) == 1
    assert "a column can be chosen of a CSV file alone" in capsys.readouterr().err
    assert main([*flags, "--data", "motion"]) == 1
    assert "has no list of files to write" in capsys.readouterr().err
    assert main([*flags, "--data", str(two_classes), "--folds", "9"]) == 1
    assert "folds is 9; expected 2 to 8, the number of groups" in capsys.readouterr().err


def test_a_layout_is_split_as_a_whole(tmp_path, capsys):
    videos = [f"{label}/v_{label}_g{group:02}_c{clip:02}.avi"
              for label in ("Run", "Walk") for group in range(1, 5) for clip in (1, 2)]
    for video in videos:
        (tmp_path / "v" / video).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "v" / video).write_bytes(b"x")
    (tmp_path / "classInd.txt").write_text("1 Run\n2 Walk\n")
    (tmp_path / "trainlist01.txt").write_text("".join(f"{video} {1 + ('Walk' in video)}\n" for video in videos[4:]))
    (tmp_path / "testlist01.txt").write_text("".join(f"{video}\n" for video in videos[:4]))
    flags = ["--layout", "ucf101", "--lists", str(tmp_path), "--folds", "4"]
    assert call(tmp_path, *flags, data="v") == 0
    assert "splitting 16 videos of 2 classes into 4 folds by group" in capsys.readouterr().out
    tested = [example for fold in range(1, 5) for example in
              read_data_set(tmp_path / "folds" / f"fold{fold}_test.csv").examples]
    assert len({example.path for example in tested}) == 16 and len({example.group for example in tested}) == 8
    assert call(tmp_path, *flags, "--by", "camera", data="v") == 1
    assert "a column can be chosen of a CSV file alone" in capsys.readouterr().err
