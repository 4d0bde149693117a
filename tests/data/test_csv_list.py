"""CSV lists: columns in any order, three separators, names of any bytes; and files that are no lists."""

import os
import shutil
import tracemalloc

import pytest

from keras_res3d.data.open import list_videos, read_data_set, read_layout
from keras_res3d.data.types import DataError, Example


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4", "c;d.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def listing(folder, text, **options):
    (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return list_videos(folder / "list.csv", **options)


def found(listing):
    assert not listing.faults, listing.faults
    return [(os.path.basename(row.path), row.label, row.group) for row in listing.rows]


def test_columns_in_any_order_and_case_and_more_of_them(folder):
    read = listing(folder, "fps,Group, LABEL ,,Path,split\n25,g1,walk,x,a.mp4,train\n30,,run,,b.mp4,test\n")
    assert found(read) == [("a.mp4", "walk", "g1"), ("b.mp4", "run", None)]
    assert read.notes == ("columns that are not used: fps, one without a name, split",)


@pytest.mark.parametrize("separator, name", [(";", "semicolons"), ("\t", "tabs")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_semicolons_and_tabs(folder, separator, name, end):
    lines = [separator.join(line) for line in (["label", "path"], ["walk, slowly", "a.mp4"], ["run", '"c;d.mp4"'])]
    read = listing(folder, "\ufeff" + end.join(["", *lines, ""]))
    assert found(read) == [("a.mp4", "walk, slowly", None), ("c;d.mp4", "run", None)]
    assert read.notes == (f"is read as separated by {name}",)
    with pytest.warns(UserWarning, match=rf"list\.csv: is read as separated by {name}"):
        read_data_set(folder / "list.csv")


@pytest.mark.parametrize("text, message", [
    ("path,label,Path\na.mp4,walk,b.mp4\n", "header has the column path twice"),
    ("path;class\na.mp4;walk\n", "header is 'path;class'; expected the columns path,label"),
    ("path,label\na.mp4;walk\n", "line 2: malformed: 1 fields; expected 2"),
    (b"path,label\na.mp4,wa\0lk\n", "line 2: a label with a NUL character"),
    (b"path,label\na.mp4,f\xfcr\n", "line 2: is not UTF-8 text"),
    (b"path,label\n\xfc.mp4,walk\n", "line 2: is not UTF-8 text"),
    ("path,label\na.mp4,walk\n".encode("utf-16"), "list.csv: is not UTF-8 text"),
    ("path,label\n" + "a" * 200_000 + ",walk\n", "line 2: malformed"),
])
def test_what_is_refused(folder, text, message):
    read = listing(folder, text)
    assert len(read.faults) == 1 and message in read.faults[0], read.faults
    assert "\n" not in str(read.faults[0])


def test_one_video_of_two_labels(folder):
    (folder / "link.mp4").symlink_to(folder / "a.mp4")
    read = listing(folder, "path,label\na.mp4,walk\nb.mp4,run\nlink.mp4,run\n./b.mp4,run\n")
    two = f"line 4: duplicate of line 2, {folder}/link.mp4, with the labels 'walk' and 'run'; keep one of them"
    assert read.faults == (two, f"line 5: duplicate of line 3, {folder}/b.mp4")


def test_another_column_as_the_group(folder):
    text = "path,label,group,Camera\na.mp4,walk,g1,left\nb.mp4,run,g1,right\n"
    assert found(listing(folder, text, group="camera")) == [("a.mp4", "walk", "left"), ("b.mp4", "run", "right")]
    assert listing(folder, text, group="camera").notes == ("columns that are not used: group",)
    assert "header has no column 'city'" in listing(folder, text, group="city").faults[0]


def test_names_of_any_bytes(tmp_path):
    names = [b"caf\xe9.mp4", b"two\nlines.mp4", b'quo"te, $x$.mp4', b" space.mp4", b"\x1b[31m.mp4"]
    lines = [b"path,label"]
    for number, name in enumerate(names):
        place = tmp_path / ("x" if number % 2 else os.fsdecode(b"l\xff")) / os.fsdecode(name)
        place.parent.mkdir(exist_ok=True)
        try:
            place.write_bytes(b"x")
        except OSError:
            pytest.skip("this file system takes no such names")
        label = os.fsencode(place.parent.name)
        lines.append(b'"' + os.fsencode(place).replace(b'"', b'""') + b'",' + label)
    (tmp_path / "list.csv").write_bytes(b"\n".join(lines))
    data = read_data_set(tmp_path / "list.csv")
    assert [os.fsencode(os.path.basename(example.path)) for example in data.examples] == names
    assert data.classes == (os.fsdecode(b"l\xff"), "x") and all(os.path.exists(each.path) for each in data.examples)


def test_a_name_that_ends_in_white_space(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / " e.mp4").write_bytes(b"x")
    assert found(listing(folder, "path,label\n a.mp4 ,walk\n")) == [("a.mp4", "walk", None)]
    (folder / " f.mp4").write_bytes(b"x")
    assert found(listing(folder, "path,label\n f.mp4,walk\n")) == [(" f.mp4", "walk", None)]


def test_a_binary_file_is_not_read_to_its_end(tmp_path):
    with open(tmp_path / "film.bin", "wb") as file:
        file.write(b"\0\0\0\x18ftypmp42\xff\xfe" * 100)
        file.truncate(200_000_000)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"film\.bin: is not UTF-8 text"):
        read_data_set(tmp_path / "film.bin")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_hostile_lists_stay_refused(shared_data, tmp_path):
    for name in ("nul.csv", "kinetics_cr.csv"):
        shutil.copy(shared_data / "hostile" / name, tmp_path)
    with pytest.raises(DataError, match="line 3: a path with a NUL character"):
        read_data_set(tmp_path / "nul.csv")
    with pytest.raises(DataError, match="header is 'label,youtube_id,time_start,time_end,split'"):
        read_data_set(tmp_path / "kinetics_cr.csv")
    assert len(read_layout("kinetics", tmp_path / "kinetics_cr.csv", tmp_path, check_files=False)) == 2


def test_missing_files_are_left_out_where_that_is_asked_for(folder):
    lines = ["path,label,group", "a.mp4,walk,g1", "gone.mp4,run,g2", "b.mp4,walk,g3", "gone.mp4,run,g"]
    (folder / "list.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 3: missing file"):
        read_data_set(folder / "list.csv")
    with pytest.warns(UserWarning, match=r"2 of 4 videos are missing and left out: .*gone\.mp4"):
        data = read_data_set(folder / "list.csv", skip_missing=True)
    assert data.examples == (Example(str(folder / "a.mp4"), 1, "g1"), Example(str(folder / "b.mp4"), 1, "g3"))
    # Labels mean the same whether or not all files are there.
    assert data.classes == ("run", "walk") and data.missing == (str(folder / "gone.mp4"),) * 2
    (folder / "list.csv").write_text("path,label\n" + "".join(f"{n}.mp4,walk\n" for n in range(30)))
    with pytest.raises(DataError, match=r"all 30 videos are missing, the first is .*0\.mp4") as caught:
        read_data_set(folder / "list.csv", skip_missing=True)
    assert len(caught.value.faults) == 1


def test_several_labels_in_a_cell(folder):
    read = listing(folder, "path,label,group\na.mp4, run | jump ,g1\nb.mp4,,\nc;d.mp4,walk,g2\n", multi_label=True)
    assert not read.faults and read.classes == ("jump", "run", "walk")
    assert [row.labels for row in read.rows] == [("run", "jump"), (), ("walk",)]
    assert [row.group for row in read.rows] == ["g1", None, "g2"]
    data = read_data_set(folder / "list.csv", multi_label=True)
    assert [example.labels for example in data.examples] == [(0, 1), (), (2,)]
    assert {example.label for example in data.examples} == {None}
    other = read_data_set(folder / "list.csv", classes=("walk", "run", "jump"), multi_label=True)
    assert [example.labels for example in other.examples] == [(1, 2), (), (0,)]


@pytest.mark.parametrize("text, message", [
    ("a.mp4,run||jump\n", "line 2: empty label between separators in 'run||jump'"),
    ("a.mp4,run|\n", "line 2: empty label between separators in 'run|'"),
    ("a.mp4,run|jump|run\n", "line 2: label 'run' twice in 'run|jump|run'"),
    ("a.mp4,\nb.mp4,\n", "no video has a label"),
    ("a.mp4,run|jump\n./a.mp4,run\n", "with the labels 'run|jump' and 'run'"),
])  # fmt: skip
def test_faults_of_several_labels(folder, text, message):
    assert any(message in fault for fault in listing(folder, f"path,label\n{text}", multi_label=True).faults)


def test_labels_outside_the_classes_and_classes_with_the_separator(folder):
    text = "path,label\na.mp4,run|fly\n"
    assert listing(folder, text, classes=("run", "jump"), multi_label=True).faults == (
        "line 2: label 'fly' is not one of the 2 classes ['run', 'jump']",
    )
    (fault,) = listing(folder, text, classes=("run", "fly", "a|b"), multi_label=True).faults
    assert fault == "class 'a|b' holds '|', which separates the labels of a video; rename it"


def test_a_list_of_several_labels_that_is_read_as_one_of_names_says_so(folder):
    read = listing(folder, "path,label\na.mp4,run|jump\nb.mp4,run\n")
    assert [row.label for row in read.rows] == ["run|jump", "run"] and read.rows[0].labels is None
    assert read.notes == ("labels that hold '|', such as 'run|jump', are taken for names; multi_label (--multi_label) "
                          "reads several labels",)  # fmt: skip


def test_one_class_can_be_learnt_where_videos_may_be_without_it(folder, recwarn):
    listing(folder, "path,label\na.mp4,run\nb.mp4,\n", multi_label=True)
    assert read_data_set(folder / "list.csv", multi_label=True).classes == ("run",)
    assert not recwarn.list


def test_folders_and_the_embedded_data_have_one_label_a_video(folder):
    (folder / "v" / "run").mkdir(parents=True)
    shutil.copy(folder / "a.mp4", folder / "v" / "run")
    with pytest.raises(DataError, match="the layout folders gives each video one label; multi_label is for CSV files"):
        read_data_set(folder / "v", multi_label=True)
    with pytest.raises(DataError, match="motion gives each video one label"):
        read_data_set("motion", multi_label=True)
