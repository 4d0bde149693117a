"""Action similarity: every distance against SciPy or a written-out sum, the protocol on the real list of pairs."""

import math

import numpy as np
import pytest
from scipy.spatial import distance as scipy_distance

from keras_res3d import Features, similarity
from keras_res3d.data.types import DataError
from keras_res3d.tasks import distances as twelve
from keras_res3d.tasks.similarity import pair_numbers, read_pairs
from tests.tasks.made_features import made_pairs


def _share(above, below):
    return above / below if below else 0.0


def _total(function, x, y):
    return math.fsum(function(a, b) for a, b in zip(x, y, strict=True))


WRITTEN_OUT = {
    "dot product": lambda x, y: _total(lambda a, b: a * b, x, y),
    "root of the dot product": lambda x, y: math.sqrt(_total(lambda a, b: a * b, x, y)),
    "Hellinger affinity": lambda x, y: math.sqrt(_total(lambda a, b: math.sqrt(a * b), x, y)),
    "root of the harmonic sum": lambda x, y: math.sqrt(_total(lambda a, b: _share(a * b, a + b), x, y)),
    "cosine": lambda x, y: 1 - scipy_distance.cosine(x, y),
    "chi distance": lambda x, y: math.sqrt(_total(lambda a, b: _share((a - b) ** 2, a + b), x, y)),
    "L1 distance": scipy_distance.cityblock,
    "Hellinger distance": lambda x, y: scipy_distance.euclidean(np.sqrt(x), np.sqrt(y)),
    "L2 distance": scipy_distance.euclidean,
    "intersection": lambda x, y: _share(_total(min, x, y), math.fsum(x) * math.fsum(y)),
    "overlap": lambda x, y: 1 - scipy_distance_of_overlap(x, y),
    "sum of roots of maxima": lambda x, y: _total(lambda a, b: math.sqrt(max(a, b)), x, y),
}


def scipy_distance_of_overlap(x, y):
    """Of non-negative vectors: the sum of |x - y| over the sum of maxima is one minus sum min / sum max."""
    return scipy_distance.cityblock(x, y) / np.maximum(x, y).sum()


@pytest.mark.parametrize("name", twelve.DISTANCES)
def test_each_distance(name):
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(size=(20, 7)) * (rng.uniform(size=(20, 7)) > 0.3) for _ in range(2))
    x[0, :3] = y[0, :3] = 0  # 0/0 counts as 0
    expected = [WRITTEN_OUT[name](one, other) for one, other in zip(x, y, strict=True)]
    np.testing.assert_allclose(twelve.DISTANCES[name](x, y), expected, rtol=1e-12, atol=1e-12)


def test_there_are_twelve_in_the_order_of_the_table():
    assert len(twelve.DISTANCES) == 12
    values = np.random.default_rng(0).uniform(size=(5, 6)).astype("float32")
    found = twelve.distances(values, np.array([0, 3]), np.array([4, 1]))
    for column, distance in enumerate(twelve.DISTANCES.values()):
        pairs = values[[0, 3]].astype(float), values[[4, 1]].astype(float)
        np.testing.assert_allclose(found[:, column], distance(*pairs))


def test_vectors_of_zeros_give_zeros_and_many_pairs_come_in_parts(monkeypatch):
    zeros = np.zeros((2, 4), "float32")
    assert not twelve.distances(zeros, np.array([0]), np.array([1])).any()
    values = np.random.default_rng(0).uniform(size=(9, 4)).astype("float32")
    first, second = np.arange(8), np.arange(1, 9)
    whole = twelve.distances(values, first, second)
    monkeypatch.setattr(twelve, "VALUES_AT_A_TIME", 12)
    assert np.array_equal(twelve.distances(values, first, second), whole)


def test_negative_values_are_refused():
    with pytest.raises(ValueError, match="negative"):
        twelve.distances(np.array([[1.0, -0.1], [0, 1]]), np.array([0]), np.array([1]))
    with pytest.raises(ValueError, match="pool5: features have values that are negative"):
        similarity(({"pool5": np.array([[1.0, -0.1], [0, 1]])}, None), [("0", "1", 1), ("1", "0", 0)] * 2, folds=2, C=1)


def made(pairs, actions=True, layers=("res5b", "pool5", "prob"), seed=0):
    """Features of the videos of a list: each action has a direction of its own where `actions` is true."""
    rng = np.random.default_rng(seed)
    action = {}
    for one, other, names in zip(pairs.first, pairs.second, pairs.actions, strict=True):
        action[one], action[other] = names
    numbers = {name: number for number, name in enumerate(dict.fromkeys(action.values()))}
    ids = tuple(action)
    values = {}
    for layer in layers:
        direction = rng.uniform(size=(len(numbers), 12)) ** 4
        rows = rng.uniform(size=(len(ids), 12)) * (0.2 if actions else 1)
        values[layer] = rows + (direction[[numbers[action[name]] for name in ids]] if actions else 0)
    values = {name: rows.astype("float32") for name, rows in values.items()}
    return Features(values, tuple(f"aslan/{name}.avi" for name in ids), (None,) * len(ids), (None,) * len(ids),
                    np.zeros((len(ids), 2)))  # fmt: skip


@pytest.fixture(scope="module")
def view2(shared_data):
    return shared_data / "lists" / "aslan" / "view2.txt"


def test_the_real_list(view2):
    pairs = read_pairs(view2)
    assert len(pairs) == 6000 and pairs.first[0] == "84" and pairs.second[-1] == "1651"
    assert [sum(pairs.same[start : start + 600]) for start in range(0, 6000, 600)] == [300] * 10


def test_the_protocol_on_the_real_list_with_made_features(view2):
    pairs = read_pairs(view2)
    found = similarity(made(pairs), view2, C=1.0)
    assert len(found.accuracies) == 10 and found.accuracy > 0.9 and found.auc > 0.95
    assert found.standard_error == pytest.approx(np.std(found.accuracies, ddof=1) / 10**0.5)
    summary = found.summary()
    assert summary["numbers_a_pair"] == 36 and summary["paper_percent"]["Res3D"] == {"accuracy": 78.8, "auc": 86.6}
    # Every pair is judged by the folds it is not in.
    right = [(found.decisions[start : start + 600] > 0) == found.same[start : start + 600]
             for start in range(0, 6000, 600)]  # fmt: skip
    assert [np.mean(each) for each in right] == list(found.accuracies)
    false_rate, true_rate = found.roc()
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(found.auc)


def test_features_that_know_nothing_are_as_good_as_guessing(view2):
    pairs = read_pairs(view2)
    found = similarity(made(pairs, actions=False, layers=("pool5",)), view2, C=1.0)
    assert 0.45 < found.accuracy < 0.55 and 0.45 < found.auc < 0.55


def test_36_numbers_a_pair(view2):
    pairs = read_pairs(view2)
    assert pair_numbers(made(pairs), pairs).shape == (6000, 36)


def test_arrays_with_ids_and_a_chosen_C_give_the_same_every_time():
    values, ids, rows = made_pairs()
    first, second = (similarity((values, None), rows, ids=ids, folds=4) for _ in range(2))
    assert first.accuracy == 1.0 and first.auc == 1.0 and first.C == second.C
    assert np.array_equal(first.decisions, second.decisions) and not first.paper


def test_what_a_fold_holds_does_not_reach_its_own_svm(monkeypatch):
    """Numbers, standardised, and C of the last fold's SVM stay as they are whatever that fold holds."""
    from keras_res3d.tasks import similarity as module

    values, ids, rows = made_pairs(40)
    # The last fold gets videos of its own, and the opposite labels.
    more = np.concatenate([values, np.random.default_rng(1).uniform(size=(2, 4)).astype("float32")])
    changed = [*rows[:30], *[("x", "y", 1 - same) for _, _, same in rows[30:]]]
    seen, fit = [], module.fit

    def watched(numbers, labels, C, seed):
        seen.append((numbers.copy(), np.asarray(labels).copy(), np.array(C)))
        return fit(numbers, labels, C, seed)

    monkeypatch.setattr(module, "fit", watched)
    similarity((values, None), rows, ids=ids, folds=4)
    similarity((more, None), changed, ids=[*ids, "x", "y"], folds=4)
    assert len(seen) == 8
    assert all(np.array_equal(one, other) for one, other in zip(seen[3], seen[7], strict=True))
    assert not np.array_equal(seen[0][0], seen[4][0])


def test_ids_that_are_not_found_are_one_error():
    values, ids, rows = made_pairs()
    rows = [*rows[:37], ("lost0", "lost1", 1), ("lost2", "lost0", 0), ("lost1", ids[0], 0)]
    with pytest.raises(ValueError, match=r"the list of pairs: 3 of \d+ videos have no features: lost0, lost2, lost1$"):
        similarity((values, None), rows, ids=ids, folds=4, C=1)
    many = [(f"lost{n}", ids[0], n % 2) for n in range(40)]
    with pytest.raises(ValueError, match=r"40 of 41 videos have no features: lost0, .*lost19, \.\.\. \(40 in all\)$"):
        similarity((values, None), many, ids=ids, folds=4, C=1)


def test_lists_of_pairs(tmp_path):
    with pytest.raises(DataError, match="is a folder and no list"):
        read_pairs(tmp_path)
    path = tmp_path / "pairs.csv"
    path.write_text("a, b, 1, run, run\n\nc; d; 0; run; jump\n")
    pairs = read_pairs(path)
    assert pairs.first == ("a", "c") and pairs.same == (True, False) and pairs.actions[1] == ("run", "jump")
    path.write_text("a b 2\na b\n a b 1 run run more\n")
    with pytest.raises(DataError, match="3 faults") as error:
        read_pairs(path)
    assert "line 2: malformed" in str(error.value)
    path.write_bytes(b"\xff\x00\x01")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_pairs(path)
    path.write_text("")
    with pytest.raises(DataError, match="no pair at all"):
        read_pairs(path)


@pytest.mark.parametrize("row", [("a", "b"), ("a", "b", 2), ("a", "b", "yes"), "ab1", 3, ("a", "b", 1, "run")])
def test_pairs_that_are_none_are_named(row):
    with pytest.raises(ValueError, match=r"row 2 of the pairs is .*; expected: id1 id2 same"):
        similarity((np.eye(2), None), [("a", "b", True), row], ids=["a", "b"])


def test_folds_of_pairs():
    values, ids, rows = made_pairs(40)
    with pytest.raises(ValueError, match="40 pairs; expected a multiple of 7"):
        similarity((values, None), rows, ids=ids, folds=7)
    named = [(*row, "run", "run") for row in rows]
    with pytest.warns(UserWarning, match="1 actions are in several folds"):
        similarity((values, None), named, ids=ids, folds=4, C=1)
    alike = [(one, other, 1) for one, other, _ in rows]
    with pytest.raises(ValueError, match="all pairs are alike"):
        similarity((values, None), alike, ids=ids, folds=4, C=1)
