"""Folds: no group in two, every example in exactly one test half, classes as even as groups allow; lists of them."""

import collections
import os

import numpy as np
import pytest

import keras_res3d
from keras_res3d.data.check import as_listing, preflight
from keras_res3d.data.open import VideoFiles, list_videos, read_data_set, read_layout
from keras_res3d.data.pack import pack
from keras_res3d.data.split import Subset, fold_numbers, list_of, split_folds, write_folds
from keras_res3d.data.types import DataSet, Example


def files(labels, groups=None, folder="v"):
    groups = [None] * len(labels) if groups is None else groups
    pairs = enumerate(zip(labels, groups, strict=True))
    examples = tuple(Example(f"{folder}/{label}/{n}.mp4", label, group) for n, (label, group) in pairs)
    return VideoFiles(examples, tuple(map(str, range(max(labels) + 1))), "all")


def counts(labels, numbers, folds):
    """(folds, classes)"""
    table = np.zeros((folds, max(labels) + 1), int)
    np.add.at(table, (numbers, labels), 1)
    return table


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("folds", [2, 3, 7])
def test_no_group_is_in_two_folds_and_every_example_in_one(seed, folds):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 40, 300)
    labels = (groups * 7 + rng.integers(0, 2, 300)) % 5  # most groups are of two classes
    data = files(labels.tolist(), [f"g{group}" for group in groups])
    found = split_folds(data, folds, seed=seed)
    tested = [example for fold in found for example in fold.test.examples]
    assert len(found) == folds and sorted(tested) == sorted(data.examples)
    for train, test in found:
        assert sorted([*train.examples, *test.examples]) == sorted(data.examples)
        assert not {example.group for example in train.examples} & {example.group for example in test.examples}
        assert train.classes == test.classes == data.classes


def test_classes_are_as_even_as_groups_of_one_class_allow():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, 60)
    groups = np.repeat(np.arange(60), sizes)
    labels = (groups % 3).tolist()
    table = counts(labels, fold_numbers(labels, groups.tolist(), 4), 4)
    assert (np.ptp(table, axis=0) <= sizes.max()).all()
    assert np.ptp(table.sum(1)) <= 2 * sizes.max()


def test_without_groups_each_class_differs_by_one_video_at_most():
    rng = np.random.default_rng(2)
    labels = rng.choice(4, 997, p=[0.6, 0.3, 0.09, 0.01]).tolist()
    numbers = fold_numbers(labels, range(997), 10)
    table = counts(labels, numbers, 10)
    assert (np.ptp(table, axis=0) <= 1).all() and np.ptp(table.sum(1)) <= 1


def test_a_split_by_hand():
    # Class 0: groups of 4, 3 and 3; class 1: groups of 2 and 2; class 2: one group of 1.
    groups = [*"aaaa", *"bbb", *"ccc", *"dd", *"ee", "f"]
    labels = [0] * 10 + [1] * 4 + [2]
    numbers = dict(zip(groups, fold_numbers(labels, groups, 2).tolist(), strict=True))
    # By weight: f (1), d and e (1/4 each), a (16/100), b and c (9/100). f goes to fold 0, which is then fuller, so that
    # the first of d and e goes to fold 1, and the other to fold 0. Fold 1 then is smaller: a goes there, b and c not.
    assert numbers["f"] == 0 and {numbers["d"], numbers["e"]} == {0, 1}
    assert numbers["a"] == 1 and numbers["b"] == numbers["c"] == 0


def test_the_same_seed_gives_the_same_folds_in_any_order_and_any_place():
    rng = np.random.default_rng(3)
    groups = [f"g{n}" for n in rng.integers(0, 30, 200)]
    labels = [int(group[1:]) % 3 for group in groups]
    first = fold_numbers(labels, groups, 5, seed=4)
    order = rng.permutation(200)
    again = fold_numbers([labels[n] for n in order], [groups[n] for n in order], 5, seed=4)
    assert np.array_equal(again, first[order])
    assert not np.array_equal(fold_numbers(labels, groups, 5, seed=5), first)
    here, there = (split_folds(files(labels, folder=folder), 3, None) for folder in ("v", "/far/away"))
    for one, other in zip(here, there, strict=True):
        assert [e.path.split("/")[-2:] for e in one.test.examples] == [
            e.path.split("/")[-2:] for e in other.test.examples]


def test_what_stays_together():
    data = files([0, 1] * 10)
    with pytest.raises(ValueError, match="all has no groups"):
        split_folds(data, 2)
    by_label = split_folds(data, 2, by=lambda example: example.label)
    assert [{example.label for example in fold.test.examples} for fold in by_label] in ([{0}, {1}], [{1}, {0}])
    values = [number // 4 for number in range(20)]
    for fold in split_folds(data, 5, by=values):
        assert len({int(os.path.basename(example.path)[:-4]) // 4 for example in fold.test.examples}) == 1
    with pytest.warns(UserWarning, match="1 of 20 videos have no group"):
        split_folds(files([0, 1] * 10, [f"g{n}" for n in range(19)] + [None]), 2)
    for by, message in (("camera", "by is 'camera'"), ([1], "by has 1 values")):
        with pytest.raises(ValueError, match=message):
            split_folds(data, 2, by=by)
    for folds in (1, 21, True, 2.5):
        with pytest.raises(ValueError, match="expected 2 to 20, the number of groups"):
            split_folds(data, folds, by=None)


def test_names_of_ucf101_say_their_groups():
    examples = [Example(f"v/{label}/v_{label}_g{group:02}_c{clip:02}.avi", number)
                for number, label in enumerate(("Run", "Walk")) for group in range(6) for clip in range(3)]
    for fold in split_folds(VideoFiles(tuple(examples), ("Run", "Walk"), "all"), 3):
        found = collections.Counter(example.path.rpartition("_c")[0] for example in fold.test.examples)
        assert len(found) == 4 and set(found.values()) == {3}


def test_ucf101_in_five_folds(shared_data):
    halves = [read_layout("ucf101", shared_data / "lists" / "ucf101", "v", 1, subset, check_files=False)
              for subset in ("train", "test")]
    data = VideoFiles(halves[0].examples + halves[1].examples, halves[0].classes, "ucf101")
    found = split_folds(data, 5)
    assert sum(len(fold.test) for fold in found) == 13_320
    totals = np.bincount([example.label for example in data.examples])
    for train, test in found:
        assert preflight(as_listing(train), as_listing(test)).faults == ()
        share = np.bincount([example.label for example in test.examples]) / totals
        assert 0.18 < share.min() <= share.max() < 0.23


def test_classes_with_too_few_groups_are_said():
    labels = [0] * 10 + [1] * 4 + [2] * 3
    groups = [f"a{n}" for n in range(10)] + ["b", "b", "c", "c"] + ["d"] * 3
    with pytest.warns(UserWarning) as said:
        split_folds(files(labels, groups), 4)
    assert [str(each.message) for each in said] == [
        "all: classes of one group, without which one fold trains: ['2']",
        "all: classes with fewer groups than folds, so that some folds test without them: ['1']"]


def test_a_part_of_any_data_set_is_a_data_set():
    fold = keras_res3d.split_folds(read_data_set("motion"), 4, by=None)[1]
    assert isinstance(fold.test, DataSet) and len(fold.test) == 400 and len(fold.train) == 1200
    assert repr(fold.test) == "<Subset: 400 videos of 8 classes from motion/train, fold 2 test>"
    assert fold.test.mirror_safe is False
    part = Subset(read_data_set("motion"), [7, 3], "two")
    with part.open(1) as video, read_data_set("motion").open(3) as same:
        assert np.array_equal(next(video.clips([[0, 5]])), next(same.clips([[0, 5]])))


def test_packed_videos_keep_what_must_not_be_turned_round(tmp_path, make_video):
    (tmp_path / "v" / "a").mkdir(parents=True)
    for number in range(3):
        make_video(tmp_path / "v" / "a" / f"{number}.mp4", np.full((4, 32, 32, 3), 60 * number, np.uint8))
    part = Subset(read_data_set(tmp_path / "v"), [0, 1, 2], "three")
    part.mirror_safe = part.reverse_safe = False
    pack(part, tmp_path / "shards", (32, 32), workers=1)
    data = read_data_set(tmp_path / "shards")
    assert (data.mirror_safe, data.reverse_safe) == (False, False)
    fold = split_folds(data, 3, by=None)[0]
    assert (fold.test.mirror_safe, fold.train.reverse_safe) == (False, False) and len(fold.train) == 2
    assert repr(data) == f"<PackedDataSet: 3 videos of 1 class from {tmp_path}/shards>"


NAMES = ["plain", "two\nlines", "a,b", 'quo"te', " lead", "cr\rx", "$x$", "\x1b[31m", os.fsdecode(b"caf\xe9"), "\u202e"]


def test_lists_of_folds_are_read_back_whatever_the_names(tmp_path):
    for label in ("run", "two\nlines", os.fsdecode(b"\xff")):
        (tmp_path / "v" / label).mkdir(parents=True)
        for name in NAMES:
            try:
                (tmp_path / "v" / label / f"{name}.mp4").write_bytes(b"x")
            except OSError:
                pytest.skip("this file system takes no such names")
    data = read_data_set(tmp_path / "v")
    found = split_folds(data, 2, by=None)
    paths = write_folds(found, tmp_path / "far" / "folds", by=None)
    assert [path.name for path in paths] == ["fold1_train.csv", "fold1_test.csv", "fold2_train.csv", "fold2_test.csv"]
    assert write_folds(found, tmp_path / "far" / "folds", by=None) == paths
    for path, part in zip(paths, [half for fold in found for half in fold], strict=True):
        again = read_data_set(path, classes=data.classes)
        assert [(os.path.realpath(e.path), e.label) for e in again.examples] == [
            (e.path, e.label) for e in part.examples]
    os.rename(tmp_path / "v" / "run" / "plain.mp4", tmp_path / "v" / "run" / "other.mp4")
    assert sum("missing file" in fault for path in paths for fault in list_videos(path).faults) == 2
    with pytest.raises(ValueError, match=r"fold3_test\.csv is of other folds"):
        (tmp_path / "far" / "folds" / "fold3_test.csv").touch()
        write_folds(found, tmp_path / "far" / "folds", by=None)


def test_lists_that_lie_behind_a_link(tmp_path):
    for place in ("v/a/1.mp4", "v/a/2.mp4", "v/b/1.mp4", "v/b/2.mp4", "deep/er/folds/x"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    (tmp_path / "folds").symlink_to(tmp_path / "deep" / "er" / "folds")
    paths = write_folds(split_folds(read_data_set(tmp_path / "v"), 2, None), tmp_path / "folds", None)
    assert not any(list_videos(path).faults for path in paths)


def test_what_a_list_cannot_say(tmp_path):
    with pytest.raises(ValueError, match="parts of folders of frames"):
        list_of(VideoFiles((Example("a", 0, None, 17, 16),), ("x",), "all"), tmp_path)
    with pytest.raises(ValueError, match="begin or end with white space"):
        list_of(VideoFiles((Example("a", 0),), ("x ",), "all"), tmp_path)


def test_folds_of_several_labels_spread_every_label_and_are_read_back(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.random((60, 3)) < [0.5, 0.3, 0.15]
    examples = [Example(str(tmp_path / f"{n}.mp4"), None, f"g{n // 2}", labels=tuple(np.flatnonzero(row).tolist()))
                for n, row in enumerate(truth)]  # fmt: skip
    for example in examples:
        (tmp_path / os.path.basename(example.path)).write_bytes(b"x")
    data = VideoFiles(tuple(examples), ("a", "b", "c"), "drawn")
    folds = split_folds(data, 3, seed=1)
    for label in range(3):
        held = [sum(label in example.labels for example in fold.test.examples) for fold in folds]
        assert sum(held) == truth[:, label].sum() and max(held) - min(held) <= 2
    paths = write_folds(folds, tmp_path / "folds")
    back = read_data_set(paths[0], classes=data.classes, multi_label=True)
    assert [example.labels for example in back.examples] == [example.labels for example in folds[0].train.examples]
    odd = VideoFiles((Example("x.mp4", None, labels=(0,)),), ("a|b",), "odd")
    with pytest.raises(ValueError, match=r"classes \['a\|b'\] begin or end with white space, or hold '\|'"):
        list_of(odd, tmp_path)


def test_one_label_in_a_tuple_is_that_label():
    labels, groups = [0, 1, 1, 0, 2, 2, 1], [1, 1, 2, 3, 4, 5, 6]
    assert np.array_equal(fold_numbers(labels, groups, 3), fold_numbers([(each,) for each in labels], groups, 3))
