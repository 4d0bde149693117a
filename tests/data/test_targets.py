"""What batches hold of the labels of a video: a number, or a row where it may have several."""

import numpy as np
import pytest

from keras_res3d.data.augment import Augment
from keras_res3d.data.batches import evaluation_batches, training_batches, video_batches
from keras_res3d.data.clips import Sampling
from keras_res3d.data.open import read_data_set
from keras_res3d.data.pack import pack
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.data.targets import target_of, target_spec
from keras_res3d.data.training_clips import SeveralClips
from keras_res3d.data.types import is_multi_label, labels_of
from tests.labelled import CLASSES, Labelled, write_list

SAMPLING = Sampling(frames=4, stride=2, resize=(32, 32), crop=(24, 24))


def test_numbers_and_rows():
    one, several = motion_data_set("test"), Labelled(4)
    assert target_spec(one) == (np.int32, ()) and target_spec(several) == (np.float32, (2,))
    assert target_of(one, 9) == 1 and target_of(one, 9).dtype == np.int32
    rows = np.stack([target_of(several, number) for number in range(4)])
    assert rows.dtype == np.float32 and rows.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert [labels_of(example) for example in several.examples] == [(), (0,), (1,), (0, 1)]
    assert labels_of(one.examples[9]) == (1,) and not is_multi_label(one) and is_multi_label(SeveralClips(several, 2))


def test_training_batches_have_the_rows_of_their_clips():
    data = Labelled(8)
    dark = [bool(example.labels and example.labels[0] == 0) for example in data.examples]
    batches = training_batches(data, SAMPLING, 4, preprocess=False, mirror=False)
    assert batches.element_spec[1].shape == (4, 2) and batches.element_spec[1].dtype == "float32"
    pairs = [pair for clips, rows in batches for pair in zip(clips.numpy(), rows.numpy(), strict=True)]
    found = [(clip.mean(), row) for clip, row in pairs]
    assert len(found) == 8 and sum(row[0] for _, row in found) == sum(dark)
    assert all((mean < 90) == bool(row[0]) for mean, row in found)


def test_evaluation_and_video_batches_have_rows():
    data = Labelled(6)
    pixels, rows = next(iter(evaluation_batches(data, SAMPLING, 6, clips=1)))
    assert rows.shape == (6, 2) and rows.dtype == "float32" and pixels.shape[0] == 6
    (_, again, numbers), *_ = video_batches(data, SAMPLING, 6, clips=1)
    np.testing.assert_array_equal(again, rows)
    assert numbers.tolist() == list(range(6))


@pytest.mark.parametrize(
    "label, kept", [((), False), ((1,), False), ((0,), True), ((0, 1), True), (0, True), (1, False)]
)
def test_a_video_with_a_one_way_label_is_not_reversed(label, kept):
    clip = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    found = Augment({"reverse": 1.0}, one_way=[0])(clip, (8, 8), np.random.default_rng(0), False, label)
    assert (found[0, 0, 0, 0] == 0) == kept


def test_packed_shards_know_the_labels(tmp_path):
    files = read_data_set(write_list(tmp_path, "train", 4, seed=3), multi_label=True)
    pack(files, tmp_path / "shards", resize=(32, 32), workers=1)
    packed = read_data_set(tmp_path / "shards")
    assert packed.classes == CLASSES == files.classes and is_multi_label(packed)
    assert [example.labels for example in packed.examples] == [(), (0,), (1,), (0, 1)]
    assert read_data_set(tmp_path / "shards", classes=("moves", "dark"), multi_label=True).examples[1].labels == (1,)
    pack(files, tmp_path / "shards", resize=(32, 32), workers=1)  # nothing is left to do, and nothing differs
