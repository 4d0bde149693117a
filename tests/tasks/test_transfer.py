"""Transfer on features with a known answer: separable classes, labels that must not leak, groups that stay whole."""

import json
import statistics

import numpy as np
import pytest

from keras_res3d import transfer_knn, transfer_pca, transfer_svm
from keras_res3d.tasks.transfer import pca, svm
from keras_res3d.tasks.transfer.rows import Finder, per_video
from keras_res3d.tasks.transfer.splits import Part, splits_of
from tests.tasks.made_features import made, separable, write_csv, write_ucf101


def test_separable_classes_are_all_right():
    scores = transfer_svm(separable(60), separable(30, seed=1))
    assert scores.mean() == 1.0 and scores.scores[0].classes == 3
    assert scores.scores[0].train == 60 and scores.scores[0].test == 30
    assert np.isnan(scores.std())


def test_random_labels_are_as_good_as_guessing():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(200, 20)), rng.choice(["a", "b"], 200)
    test = rng.normal(size=(400, 20)), rng.choice(["a", "b"], 400)
    assert 0.4 < transfer_svm(train, test).mean() < 0.6


def test_the_same_call_gives_the_same_numbers():
    train, test = separable(60, noise=0.8), separable(60, seed=1, noise=0.8)
    first, second = (transfer_svm(train, test, seed=3).summary() for _ in range(2))
    assert first == second and 0.34 < first["rows"][0]["mean"] < 1


def test_three_splits_of_ucf101_by_its_lists(tmp_path):
    ids, labels = write_ucf101(tmp_path)
    values = np.eye(4)[[int(label == "Diving") for label in labels]] + 0.01 * np.arange(len(ids))[:, None]
    # The videos lie elsewhere and were converted; features have no labels and no groups of their own.
    features = made([f"/data/UCF-101/{name[:-4]}.mp4" for name in ids], [None] * len(ids), values)
    # One video of split 2 is made to look like the other class.
    wrong = features.ids.index("/data/UCF-101/Archery/v_Archery_g03_c01.mp4")
    features.values["pool5"][wrong] = features.values["pool5"][-1]
    scores = transfer_svm(features, layout="ucf101", lists=tmp_path)
    shares = [score.value for score in scores.scores]
    assert [score.split for score in scores.scores] == ["ucf101 split 1", "ucf101 split 2", "ucf101 split 3"]
    assert shares[1] == 7 / 8 and scores.scores[0].train == 16 and scores.scores[0].test == 8
    assert scores.mean() == statistics.fmean(shares) and scores.std() == statistics.stdev(shares)
    assert scores.paper["Res3D"] == 83.1
    summary = json.loads(json.dumps(scores.summary()))
    assert summary["rows"][0]["splits"] == 3 and summary["paper_percent"]["C3D"] == 82.2
    header, rows = scores.table()
    assert len(rows) == 4 and rows[-1][header.index("split")] == "mean of splits"


def test_groups_come_from_the_lists(tmp_path):
    ids, labels = write_ucf101(tmp_path)
    _, (split, *_) = splits_of(made(ids, labels, np.ones((len(ids), 2))), layout="ucf101", lists=tmp_path)
    assert set(split.train.groups) == {f"{name}/g{n:02d}" for name in ("Archery", "Diving") for n in (3, 4, 5, 6)}


def test_real_lists_of_ucf101_and_hmdb51(shared_data):
    for layout, counts in (("ucf101", [(9537, 3783), (9586, 3734), (9624, 3696)]), ("hmdb51", [(3570, 1530)] * 3)):
        from keras_res3d.data.open import list_layout

        lists = shared_data / "lists" / layout
        rows = {str(row.path): row.label for split in (1, 2, 3) for subset in ("train", "test")
                for row in list_layout(layout, lists, "", split, subset, check_files=False).rows}  # fmt: skip
        features = made([f"{layout}/{path}" for path in rows], rows.values(), np.ones((len(rows), 1)))
        _, splits = splits_of(features, layout=layout, lists=lists)
        assert [(len(split.train), len(split.test)) for split in splits] == counts
        assert all(rows[path] == label for path, label in zip(rows, features.labels, strict=True))


def test_csv_lists_in_another_folder(tmp_path):
    values, labels = separable(24, classes=2)
    ids = [str(tmp_path / "videos" / f"{number}.mp4") for number in range(24)]
    lines = [(f"../videos/{number}.mp4", labels[number], f"g{number}") for number in range(24)]
    train = write_csv(tmp_path / "lists" / "train.csv", lines[:12])
    test = write_csv(tmp_path / "lists" / "test.csv", lines[12:])
    assert transfer_svm(made(ids, labels, values), train_list=train, test_list=test).mean() == 1.0
    # The list's labels count: with those of the test turned round, nothing is right.
    turned = [(path, "class 1" if label == "class 0" else "class 0", group) for path, label, group in lines[12:]]
    test = write_csv(tmp_path / "lists" / "test.csv", turned)
    assert transfer_svm(made(ids, labels, values), train_list=train, test_list=test).mean() == 0.0
    both = transfer_svm(made(ids, labels, values), train_list=[train, train], test_list=[test, test])
    assert [score.split for score in both.scores] == ["split 1", "split 2"]


def test_videos_of_a_list_without_features_are_one_error(tmp_path):
    train = write_csv(tmp_path / "train.csv", [(f"{n}.mp4", "ab"[n % 2]) for n in range(30)], group=False)
    test = write_csv(tmp_path / "test.csv", [("0.mp4", "a")], group=False)
    features = made(["x/28.mp4", "x/29.mp4"], ["a", "b"], np.eye(2))
    with pytest.raises(ValueError, match="28 of 30 videos have no features") as error:
        transfer_svm(features, train_list=train, test_list=test)
    assert "0.mp4, 1.mp4" in str(error.value) and "19.mp4, ... (28 in all)" in str(error.value)
    assert "20.mp4" not in str(error.value)


def test_a_video_in_both_parts_is_refused_and_a_shared_group_is_a_warning(tmp_path):
    features = made([f"{n}.mp4" for n in range(8)], list("abababab"), np.eye(8))
    train = write_csv(tmp_path / "train.csv", [(f"{n}.mp4", "ab"[n % 2], f"g{n}") for n in range(6)])
    again = write_csv(tmp_path / "again.csv", [("5.mp4", "b", "g5"), ("6.mp4", "a", "g6")])
    with pytest.raises(ValueError, match=r"1 videos are in the training part and in the test part: 5\.mp4"):
        transfer_svm(features, train_list=train, test_list=again)
    shared = write_csv(tmp_path / "shared.csv", [("6.mp4", "a", "g0"), ("7.mp4", "b", "g7")])
    with pytest.warns(UserWarning, match="1 groups are in both parts.*g0"):
        transfer_svm(features, train_list=train, test_list=shared, C=1)


def test_no_group_is_in_two_folds_of_the_choice_of_C(monkeypatch):
    values, labels = separable(40, classes=2, noise=1.0)
    groups = tuple(f"g{number // 4}" for number in range(40))
    part = Part(np.arange(40), tuple(labels), groups)
    seen = []
    fit = svm.fit

    def watched(rows, labels, C, seed):
        where = [int(np.flatnonzero((values == row).all(axis=1))[0]) for row in rows]
        seen.append({groups[number] for number in where} & {groups[n] for n in set(range(40)) - set(where)})
        return fit(rows, labels, C, seed)

    monkeypatch.setattr(svm, "fit", watched)
    svm.choose_C(values, part, svm.GRID, 5, 0)
    assert len(seen) == 25 and not any(seen)


def test_a_group_that_gives_itself_away_does_not_sway_C():
    """Rows of one group are alike. Folds that share groups learn groups by heart, at a large C; true folds do not.

    The truth is in the first value, under noise; what follows is the group's own mark.
    """
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 6)
    truth = groups % 2
    marks = rng.normal(size=(30, 60))[groups]
    values = np.concatenate([(truth * 2 - 1 + rng.normal(size=180))[:, None], marks], axis=1)
    labels = tuple("ab"[number] for number in truth)
    whole = Part(np.arange(180), labels, tuple(f"g{number}" for number in groups))
    shared = Part(whole.rows, labels, (None,) * 180)
    grid = (1e-5, 1e-3, 1.0)
    assert svm.choose_C(values, shared, grid, 5, 0) == 1.0
    assert svm.choose_C(values, whole, grid, 5, 0) < 1.0


def test_processes_choose_the_same_C(monkeypatch):
    values, labels = separable(80, noise=1.2)
    part = Part(np.arange(80), tuple(labels), tuple(f"g{number // 2}" for number in range(80)))
    alone = svm.choose_C(values, part, svm.GRID, 4, 0)
    monkeypatch.setattr(svm, "PARALLEL_FROM", 0)
    monkeypatch.setattr(svm, "usable_cores", lambda: 2)
    assert svm.choose_C(values, part, svm.GRID, 4, 0) == alone


def test_test_labels_and_test_values_do_not_reach_the_training(monkeypatch):
    """C, PCA and the SVM are the same whatever the test part holds."""
    train, test = separable(60, noise=0.6), separable(30, seed=1, noise=0.6)
    seen = []
    fit = svm.fit

    def watched(rows, labels, C, seed):
        seen.append(rows.copy())
        return fit(rows, labels, C, seed)

    for module in (svm, pca):
        monkeypatch.setattr(module, "fit", watched)
    results = []
    for others in (test, (np.full((5, 8), 1e3, "float32"), ["class 0"] * 5)):
        seen.clear()
        scores = transfer_pca({"x": train}, {"x": others}, dimensions=(2, 5, None))
        results.append(([score.C for score in scores.scores], [rows.copy() for rows in seen]))
    assert results[0][0] == results[1][0]
    assert all(np.array_equal(one, other) for one, other in zip(results[0][1], results[1][1], strict=True))


def test_leaked_labels_in_the_test_part_do_not_help():
    """The test features hold their labels in a value that is empty in training; an honest SVM cannot use it."""
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b"], 200)
    leak = np.where(labels == "a", 1.0, -1.0)
    train = np.concatenate([rng.normal(size=(200, 4)), np.zeros((200, 1))], axis=1), rng.choice(["a", "b"], 200)
    test = np.concatenate([rng.normal(size=(200, 4)), 10 * leak[:, None]], axis=1), labels
    for scores in (transfer_svm(train, test), transfer_pca({"x": train}, {"x": test}, dimensions=(3, 4, None))):
        assert all(0.35 < score.value < 0.65 for score in scores.scores)


def test_turned_rows_give_the_same_svm():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(20, 300)), rng.normal(size=(50, 300))
    labels = rng.choice(["a", "b", "c"], 20)
    small, others = svm.turned(train, test)
    assert small.shape == (20, 20) and others.shape == (50, 20)
    np.testing.assert_allclose(others @ small.T, test @ train.T, atol=1e-9)
    whole = svm.fit(train, labels, 1.0, 0).decision_function(test)
    np.testing.assert_allclose(svm.fit(small, labels, 1.0, 0).decision_function(others), whole, atol=2e-3)


def test_rows_of_zeros_are_no_error():
    small, others = svm.turned(np.zeros((3, 9)), np.ones((2, 9)))
    assert small.shape == (3, 1) and not others.any()
    twice = np.ones((4, 2, 9)).reshape(8, 9)[:6]  # one direction in six rows
    small, others = svm.turned(np.concatenate([twice, twice], axis=1), np.ones((2, 18)))
    assert small.shape == (6, 1)
    np.testing.assert_allclose(others @ small.T, 18)


def test_pca_keeps_what_few_dimensions_hold():
    """Two classes differ along one direction of great spread: one dimension tells them, and all do."""
    rng = np.random.default_rng(0)

    def part(count):
        numbers = np.arange(count) % 2
        values = 0.05 * rng.normal(size=(count, 30))
        values[:, 0] += 1
        values[:, 1] += 2 * numbers - 1
        return values, [f"class {number}" for number in numbers]

    scores = transfer_pca({"made": part(80)}, {"made": part(40)}, dimensions=(1, 10, None))
    assert [score.dimensions for score in scores.scores] == [1, 10, None]
    assert scores.mean("made", 1) == scores.mean("made", 10) == scores.mean("made") == 1.0
    with pytest.warns(UserWarning, match="left out: 300"):
        few = transfer_pca({"made": part(80)}, {"made": part(40)}, dimensions=(1, 300, None), C=1)
    assert [score.dimensions for score in few.scores] == [1, None]


def test_pca_takes_one_set_without_a_name(tmp_path):
    train, test = separable(60), separable(30, seed=1)
    right = transfer_pca({"features": train}, {"features": test}, dimensions=(2, None))
    scores = transfer_pca(train, test, dimensions=(2, None))
    assert [(s.name, s.dimensions, s.value) for s in scores.scores] == [
        (s.name, s.dimensions, s.value) for s in right.scores]  # fmt: skip
    with pytest.raises(ValueError, match=r"features are of \['x'\] and test features have no name"):
        transfer_pca({"x": train}, test)


def test_the_first_components_are_those_of_a_shorter_pca():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(50, 12)), rng.normal(size=(10, 12))
    long, short = pca.projections(train, test, 9)[1][:, :4], pca.projections(train, test, 4)[1]
    np.testing.assert_allclose(long, short, atol=1e-10)
    centred = train - train.mean(axis=0)
    axes = np.linalg.svd(centred)[2][:4]
    np.testing.assert_allclose(np.abs(short), np.abs((test - train.mean(axis=0)) @ axes.T), atol=1e-8)


def test_recall_at_k_by_hand():
    angles = np.radians([0, 10, 20, 30])
    train = np.stack([np.cos(angles), np.sin(angles)], axis=1), list("abcd")
    test = np.array([[2.0, 0.0], [1.0, 0.0]]), ["a", "c"]
    scores = transfer_knn(train, test, k=(1, 2, 3))
    assert [scores.mean(measure=f"recall@{k}") for k in (1, 2, 3)] == [0.5, 0.5, 1.0]
    with pytest.raises(ValueError, match="k is 5; expected 4"):
        transfer_knn(train, test, k=(5,))


def test_numbers_of_neighbours_and_dimensions():
    train, test = separable(30), separable(9, seed=1)
    assert transfer_knn(train, test, k=2).scores[0].measure == "recall@2"
    assert transfer_pca(train, test, dimensions=2, C=1).scores[0].dimensions == 2
    for wrong in (1.5, "2", True, (), (0,), (1, -1)):
        with pytest.raises(ValueError, match=r"k is .*; expected whole numbers from 1"):
            transfer_knn(train, test, k=wrong)
        with pytest.raises(ValueError, match=r"dimensions is .*; expected whole numbers from 1, or None"):
            transfer_pca(train, test, dimensions=wrong)


def test_classes_of_the_test_part_alone_are_named():
    with pytest.warns(UserWarning, match="1 classes are in the test part alone, .*: class 3"):
        scores = transfer_svm(separable(30), separable(40, classes=4, seed=1), C=1)
    assert scores.mean() == 0.75


def test_retrieval_among_all_passes_over_the_own_group():
    values = np.array([[1, 0], [1, 0.01], [0, 1], [0.02, 1], [1, 0.2]])
    found = transfer_knn((values, list("aabba"), ["g1", "g1", "g2", "g2", "g3"]), k=(1, 3))
    # Only the third "a" has an own group; both "b" have their like in their own group alone.
    assert found.mean(measure="recall@1") == 3 / 5 and found.mean(measure="recall@3") == 3 / 5
    alone = transfer_knn((values, list("aabba")), k=(1,))
    assert alone.mean(measure="recall@1") == 1.0


def test_clips_of_a_video_are_averaged():
    features = made(["x", "y", "x"], ["a", "b", "a"], [[2, 0], [0, 3], [0, 2]])
    found = per_video(features)
    assert found.ids == ("x", "y") and found.labels == ("a", "b")
    np.testing.assert_allclose(found.values["pool5"], [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-6)
    with pytest.raises(ValueError, match="several labels"):
        per_video(made(["x", "x"], ["a", "b"], [[1, 0], [1, 0]]))
    with pytest.raises(ValueError, match="not finite"):
        per_video(made(["x", "y"], ["a", "b"], [[1, 0], [np.nan, 0]]))


def test_how_a_video_is_found():
    finder = Finder(["/data/a/1.avi", "/data/b/1.avi", "c/2.mp4", "3"])
    assert finder.candidates("a/1.mp4") == [0] and finder.candidates("/data/b/1.avi") == [1]
    assert finder.candidates("1.avi") == [0, 1] and finder.candidates("../c/2.avi") == [2]
    assert finder.candidates("/elsewhere/3.avi") == [3] and finder.candidates("d/2.mp4") == []
    with pytest.raises(ValueError, match="can each mean several videos"):
        finder.rows(["1"], "the list")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither lists nor test features"),
        ({"layout": "ucf101"}, "lists is missing"),
        ({"layout": "kinetics", "lists": "."}, "expected ucf101 or hmdb51"),
        ({"train_list": "missing.csv", "test_list": "missing.csv"}, "no such list"),
        ({"train_list": "missing.csv"}, "expected one of these"),
        ({"test": separable(9), "C": 0}, "C is 0"),
        ({"test": separable(9), "folds": 1}, "folds is 1"),
        ({"test": separable(9), "folds": "3"}, "folds is '3'"),
        ({"test": separable(9), "C": "1"}, "C is '1'"),
        ({"test": separable(9), "C": True}, "C is True"),
        ({"test": separable(9), "layers": "fc6"}, "no features of layer fc6"),
        ({"test": (np.ones((4, 3)), list("aabb"))}, "3 values|8 values"),
        ({"test": (np.ones((4, 8)), None)}, "have no label"),
    ],
)
def test_wrong_calls(arguments, message):
    with pytest.raises(ValueError, match=message):
        transfer_svm(separable(12), **arguments)


def test_one_group_alone_needs_a_given_C():
    values, labels = separable(12)
    with pytest.raises(ValueError, match="one group"):
        transfer_svm((values, labels, ["g"] * 12), separable(9, seed=1))
    assert transfer_svm((values, labels, ["g"] * 12), separable(9, seed=1), C=1).mean() == 1.0
