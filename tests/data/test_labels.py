"""Class names and predictions with names."""

import numpy as np
import pytest
import tensorflow as tf

from keras_res3d.data.labels import LABEL_SETS, decode_predictions, label_names


@pytest.mark.parametrize("name", LABEL_SETS)
def test_names_are_as_many_as_the_nets_outputs(name):
    names = label_names(name)
    assert len(names) == len(set(names)) == LABEL_SETS[name]
    assert all(n == n.strip() and n for n in names)


def test_names_stand_in_published_order():
    assert label_names("ucf101")[0] == "ApplyEyeMakeup" and label_names("ucf101")[100] == "YoYo"
    assert label_names("hmdb51")[0] == "brush_hair" and label_names("hmdb51")[-1] == "wave"
    assert label_names("kinetics400")[0] == "abseiling" and label_names("kinetics400")[-1] == "zumba"
    assert label_names("sports1m")[0] == "boomerang"


def test_lists_match_the_published_ones(shared_data):
    lists = shared_data / "lists"
    ucf = [line.split()[1] for line in (lists / "ucf101" / "classInd.txt").read_text().split("\n") if line.strip()]
    assert label_names("ucf101") == tuple(ucf)
    for name, file in (("hmdb51", "hmdb51/class_list.txt"), ("kinetics400", "kinetics/label_map.txt"),
                       ("sports1m", "sports1m/labels.txt")):
        lines = (lists / file).read_text(encoding="utf-8").split("\n")
        assert label_names(name) == tuple(line.strip() for line in lines if line.strip())


def test_unknown_set_is_refused():
    with pytest.raises(ValueError, match="kinetics400"):
        label_names("kinetics")


def test_predictions_come_with_names_best_first():
    scores = np.zeros((2, 101), np.float32)
    scores[0, 3], scores[0, 7], scores[1, 100] = 0.6, 0.3, 1.0
    first, second = decode_predictions(scores, top=2)
    assert first == [(3, "BabyCrawling", pytest.approx(0.6)), (7, "Basketball", pytest.approx(0.3))]
    assert second[0] == (100, "YoYo", 1.0)
    assert decode_predictions(tf.constant(scores), top=2) == [first, second]
    assert decode_predictions(scores[:, :2], top=5, labels=["a", "b"])[0] == [(0, "a", 0.0), (1, "b", 0.0)]
    assert decode_predictions(scores, labels="ucf101", top=1)[0][0][1] == "BabyCrawling"


def test_counts_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"51 names.*101 classes"):
        decode_predictions(np.zeros((1, 101)), labels="hmdb51")
    with pytest.raises(ValueError, match="7 classes"):
        decode_predictions(np.zeros((1, 7)))
    with pytest.raises(ValueError, match=r"\(101,\)"):
        decode_predictions(np.zeros(101))
    with pytest.raises(ValueError, match="top is 0"):
        decode_predictions(np.zeros((1, 101)), top=0)
