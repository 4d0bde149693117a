"""keras-res3d check: every fault, the exit code, nothing written."""

import shutil

import pytest

from keras_res3d.commands.main import main


def listing(folder, name, lines):
    (folder / name).write_text("\n".join(["path,label,group", *lines]) + "\n", encoding="utf-8")
    return str(folder / name)


@pytest.fixture
def lists(two_classes, tmp_path):
    shutil.copytree(two_classes, tmp_path, dirs_exist_ok=True)
    lines = [f"{label}/clip ü {n}.mp4,{label},{label}{n}" for n in range(4) for label in ("dark", "bright")]
    return tmp_path, listing(tmp_path, "train.csv", lines[:4]), listing(tmp_path, "test.csv", lines[4:])


def test_good_lists(lists, capsys):
    folder, train, test = lists
    before = sorted(folder.rglob("*"))
    assert main(["check", "--data", train, "--validation", test, "--decode", "--workers", "2"]) == 0
    text = capsys.readouterr().out
    assert "0 faults" in text and "bright         2     2" in text and "all            4     4" in text
    assert sorted(folder.rglob("*")) == before


def test_every_fault_in_one_pass(lists, capsys):
    folder, train, _ = lists
    bad = listing(folder, "bad.csv", ["dark/clip ü 0.mp4,dark,g", "dark/clip ü 2.mp4,dark,dark1", "nothing.mp4,dark,g",
                                      "bright/clip ü 2.mp4,grey,g", "malformed"])
    (folder / "dark" / "clip ü 2.mp4").write_bytes(b"no video")
    assert main(["check", "--data", train, "--validation", bad, "--decode"]) == 1
    text = capsys.readouterr().out
    for expected in ("is in both lists: line 2 of", "group 'dark1' leaks: 1 videos", "line 4: missing file",
                     "label 'grey' is not a class", "line 6: malformed", "clip ü 2.mp4: cannot be opened", "6 faults",
                     "note: "):
        assert expected in text, expected


def test_a_folder_the_embedded_data_and_nothing(two_classes, tmp_path, capsys):
    assert main(["check", "--data", str(two_classes)]) == 0
    assert main(["check", "--data", "motion", "--validation", "motion"]) == 0
    (tmp_path / "empty").mkdir()
    assert main(["check", "--data", str(tmp_path)]) == 1
    assert "class folder 'empty' holds no video" in capsys.readouterr().out
    assert main(["check", "--data", str(tmp_path / "none")]) == 1
    assert "no such file or folder" in capsys.readouterr().out


def test_a_split_without_a_layout_is_refused(lists, two_classes, capsys):
    for data in (lists[1], str(two_classes), "motion"):
        assert main(["check", "--data", data, "--split", "7"]) == 1
        assert "--split is 7 and --layout is missing; say whose split it is" in capsys.readouterr().err


def test_missing_files_are_counted_where_they_may_be_skipped(lists, capsys):
    folder, train, test = lists
    (folder / "dark" / "clip ü 1.mp4").unlink()
    assert main(["check", "--data", train, "--validation", test]) == 1
    assert "fault: " in (text := capsys.readouterr().out) and "missing file" in text
    assert main(["check", "--data", train, "--validation", test, "--skip_missing"]) == 0
    text = capsys.readouterr().out
    assert "note: " in text and "1 of 4 videos are missing and left out: " in text and "all            3     4" in text


def test_notes_of_names_and_of_what_is_left_out(tmp_path, capsys):
    for name in ("Run/a.mp4", "run/b.mp4", "run/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert main(["check", "--data", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"note: {tmp_path}: files are left out: 1 .webp\n" in text
    assert f"note: {tmp_path}: classes that differ in case or white space alone: 'Run' and 'run'\n" in text


def test_layouts(shared_data, tmp_path, capsys):
    flags = ["--data", str(tmp_path), "--lists", str(shared_data / "lists" / "hmdb51"), "--split", "2"]
    assert main(["check", *flags, "--layout", "hmdb51"]) == 1
    text = capsys.readouterr().out
    assert "5100 faults" in text and "... 31 more" in text
    assert "brush_hair_test_split2.txt line 1: missing file" in text and "leaks" not in text
    assert text.count("fault: ") == 21 and "fault: ... and 5080 more of this kind (missing file)" in text
    assert main(["check", *flags]) == 1
    assert "--lists" in capsys.readouterr().err
    assert main(["check", *flags, "--layout", "nothing"]) == 2


def test_evaluate_reads_a_layout(trained, two_classes, tmp_path, capsys):
    lines = []
    for label in ("dark", "bright"):
        (tmp_path / "v" / label).mkdir(parents=True)
        for number in (0, 1):
            name = f"{label}/v_{label}_g0{number}_c01.mp4"
            shutil.copy(two_classes / label / f"clip ü {number}.mp4", tmp_path / "v" / name)
            lines.append(name)
    (tmp_path / "classInd.txt").write_bytes(b"1 dark\r\n2 bright\r\n")
    (tmp_path / "testlist03.txt").write_bytes("\r\n".join(lines).encode())
    flags = ["--data", str(tmp_path / "v"), "--lists", str(tmp_path), "--layout", "ucf101", "--split", "3"]
    assert main(["evaluate", str(trained), *flags, "--clips", "1", "--output", str(tmp_path / "scores")]) == 0
    assert "4 videos of 2 classes" in capsys.readouterr().out
