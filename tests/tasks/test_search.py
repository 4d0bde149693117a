"""Searching by features: order, the query left out, the best clip of each video."""

import numpy as np
import pytest

from keras_res3d import Features, VideoIndex, search_videos


def fan(ids, angles, layer="pool5", seconds=None, labels=None):
    """Features that are directions in a plane, at angles in degrees."""
    radians = np.radians(angles)
    values = 7 * np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32")
    rows = len(ids)
    return Features({layer: values}, tuple(ids), tuple(labels or [None] * rows), (None,) * rows,
                    np.tile([0.0, 1.0], (rows, 1)) if seconds is None else np.asarray(seconds, float))  # fmt: skip


def test_the_nearest_come_first_and_the_query_is_left_out():
    features = fan(["d/a.mp4", "d/b.mp4", "d/c.mp4", "d/e.mp4"], [0, 50, 20, 90], labels=list("xyxy"))
    hits = search_videos(features, "d/a.mp4", k=3)
    assert [hit.id for hit in hits] == ["d/c.mp4", "d/b.mp4", "d/e.mp4"]
    assert [hit.label for hit in hits] == ["x", "y", "y"]
    np.testing.assert_allclose([hit.score for hit in hits], np.cos(np.radians([20, 50, 90])), atol=1e-6)
    assert [hit.id for hit in search_videos(features, "/moved/d/a.avi", k=1)] == ["d/c.mp4"]
    assert len(search_videos(features, "a", k=99)) == 3


def test_arrays_as_query_and_as_features():
    index = VideoIndex((np.eye(3), ["x", "y", "z"]))
    assert [hit.label for hit in search_videos(index, np.array([0, 2.0, 1]), k=3)] == ["y", "z", "x"]
    with pytest.raises(ValueError, match=r"of shape \(2,\); expected 3 values"):
        search_videos(index, np.ones(2))


def test_a_video_is_found_by_its_best_clip():
    seconds = [[0, 1], [1, 2], [0, 1], [1, 2], [0, 1]]
    features = fan(["a", "a", "b", "b", "c"], [0, 90, 80, 30, 170], seconds=seconds)
    hits = search_videos(features, "a")
    # b's clip at 80 degrees is 10 from a's at 90; its other is 30 from a's first.
    assert [(hit.id, hit.seconds) for hit in hits] == [("b", (0.0, 1.0)), ("c", (0.0, 1.0))]
    assert hits[0].score == pytest.approx(np.cos(np.radians(10)), abs=1e-6)


def test_which_layer():
    values = {"pool5": np.array([[1, 0], [1, 0.1], [0, 1.0]]), "prob": np.array([[1, 0], [0, 1], [1, 0.1]])}
    assert search_videos((values, list("abc")), "0", k=1)[0].label == "b"
    assert search_videos((values, list("abc")), "0", k=1, layer="prob")[0].label == "c"
    with pytest.raises(ValueError, match="no features of layer fc6"):
        search_videos((values, None), "0", layer="fc6")


def test_what_is_not_there():
    features = fan(["d/a.mp4", "e/a.mp4"], [0, 50])
    with pytest.raises(ValueError, match=r"x\.mp4 is not one of the 2 videos"):
        search_videos(features, "x.mp4")
    with pytest.raises(ValueError, match=r"can mean several videos: d/a\.mp4, e/a\.mp4"):
        search_videos(features, "a.mp4")
    for wrong in (np.ones((1, 1, 3)), np.array(["a", "b", "c"]), 3, None):
        with pytest.raises(ValueError, match="the query is"):
            search_videos((np.eye(3), ["a", "b", "c"]), wrong)
    with pytest.raises(ValueError, match="k is 'a'"):
        search_videos((np.eye(3), ["a", "b", "c"]), np.ones(3), k="a")
    with pytest.raises(ValueError, match="k is 0"):
        search_videos(features, "d/a.mp4", k=0)
