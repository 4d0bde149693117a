"""Augmentations: values by hand, draws that follow from seed, epoch and example alone, and defaults that stay."""

import os
from dataclasses import fields

import numpy as np
import pytest

from keras_res3d.data.augment import AUGMENTATIONS, Augment, clip_stride
from keras_res3d.data.batches import training_batches, training_stream
from keras_res3d.data.clips import Sampling
from keras_res3d.data.sources.array import ArrayVideo
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.data.transform import random_crop_and_mirror
from keras_res3d.data.types import Example
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.stream import recipe_augment, recipe_stream

SAMPLING = Sampling(frames=4, stride=2, resize=(20, 26), crop=(16, 20))


class Pixels:
    """Six videos of 30 frames of 20 x 26: each pixel tells its video, frame, row and column."""

    classes, name, mirror_safe = ("open", "close", "wave"), "pixels", True
    examples = tuple(Example(str(number), number % 3) for number in range(6))

    def __len__(self):
        return 6

    def pixels(self, i):
        frame, row, column = np.mgrid[:30, :20, :26]
        return np.stack([frame * 8, row * 10 + i, column * 9], -1).astype(np.uint8)

    def open(self, i, fps=None, strict=False):
        return ArrayVideo(self.pixels(i), fps=fps, strict=strict)


def batches(augment, epochs=2, seed=5, **options):
    stream = training_stream(Pixels(), SAMPLING, 3, seed, augment=augment, preprocess=False, workers=1, **options)
    return [(np.asarray(clips), np.asarray(labels)) for clips, labels in stream.take(2 * epochs)]


def same(some, others):
    return all(np.array_equal(a, b) for one, other in zip(some, others, strict=True)
               for a, b in zip(one, other, strict=True))


def one_pixel(name, draw, strength, *pixels):
    """What a row makes of a clip of these pixels."""
    clip = np.array(pixels, np.uint8).reshape(1, 1, -1, 3)
    return AUGMENTATIONS[name].apply(clip, draw, strength).reshape(-1, 3).tolist()


def test_the_default_clips_are_those_of_the_first_release():
    """(seed, epoch, example) draws, in this order: the start, the crop's row and column, and whether to mirror."""
    expected = set()
    for epoch in range(2):
        for example in range(6):
            rng = np.random.default_rng((5, epoch, example))
            start = int(rng.random() * (30 - 7 + 1))
            top, left, mirrored = rng.integers(5), rng.integers(7), rng.random() < 0.5
            clip = Pixels().pixels(example)[start : start + 7 : 2, top : top + 16, left : left + 20]
            expected.add((clip[:, :, ::-1] if mirrored else clip).tobytes())
    options = TrainingOptions(batch_size=3, epochs=2, seed=5)
    data = recipe_stream(Pixels(), SAMPLING, options, preprocess=False).take(4)
    assert {clip.tobytes() for clips, _ in data for clip in np.asarray(clips)} == expected
    assert {clip.tobytes() for clips, _ in batches(random_crop_and_mirror) for clip in clips} == expected
    assert same(batches(random_crop_and_mirror), batches(Augment()))


def test_colours_by_hand():
    # A draw of 0.75 at strength 0.4 is the factor 1.2, a draw of 0 the factor 0.6.
    assert one_pixel("brightness", 0.75, 0.4, 10, 100, 250) == [[12, 120, 255]]
    assert one_pixel("brightness", 0.0, 0.4, 10, 100, 250) == [[6, 60, 150]]
    # The mean brightness of a grey 50 and a grey 150 is 100.
    assert one_pixel("contrast", 0.75, 0.4, 50, 50, 50, 150, 150, 150) == [[40] * 3, [160] * 3]
    assert one_pixel("contrast", 0.5, 0.4, 7, 9, 200) == [[7, 9, 200]]
    # Red 100 alone has the brightness 29.9: 29.9 + 1.2 * 70.1 = 114.02, and 29.9 - 1.2 * 29.9 < 0.
    assert one_pixel("saturation", 0.75, 0.4, 100, 0, 0) == [[114, 0, 0]]
    assert one_pixel("saturation", 0.0, 1.0, 100, 0, 0) == [[30, 30, 30]]
    # A third of the circle from red to green, from green to blue; grey has no hue.
    assert one_pixel("hue", 5 / 6, 0.5, 200, 0, 0, 0, 90, 0, 70, 70, 70) == [[0, 200, 0], [0, 0, 90], [70, 70, 70]]
    # A twelfth back from yellow to orange.
    assert one_pixel("hue", 0.0, 1 / 12, 200, 200, 0) == [[200, 100, 0]]
    assert one_pixel("grey", 0.19, 0.2, 100, 50, 200) == [[82, 82, 82]]
    assert one_pixel("grey", 0.2, 0.2, 100, 50, 200) == [[100, 50, 200]]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_row_keeps_shape_type_and_its_input(name):
    clip = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    before = clip.copy()
    for draw in (0.0, 0.3, 0.999):
        for strength in (0.1, AUGMENTATIONS[name].most):
            changed = AUGMENTATIONS[name].apply(clip, draw, strength)
            assert changed.shape == clip.shape and changed.dtype == np.uint8
    assert np.array_equal(clip, before)
    assert not np.array_equal(AUGMENTATIONS[name].apply(clip, 0.0, AUGMENTATIONS[name].most), clip)


@pytest.mark.parametrize("augment", [
    Augment({"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.2, "grey": 0.3, "reverse": 0.5}),
    Augment(largest_stride=6),
])
def test_draws_follow_from_the_seed_the_epoch_and_the_example(augment):
    whole = batches(augment)
    assert same(whole, batches(augment)) and same(whole[3:], batches(augment, start_step=3)[:1])
    assert not same(whole, batches(augment, seed=6)) and not same(whole[:2], whole[2:])
    assert not same(whole, batches(random_crop_and_mirror))


def test_switching_a_row_leaves_the_others_and_the_crops_alone():
    plain, grey, both = (batches(Augment(rows)) for rows in ({}, {"grey": 0.5}, {"grey": 0.5, "reverse": 0.5}))
    turned = greyed = 0
    for (clips, _), (some, _), (others, _) in zip(plain, grey, both, strict=True):
        for clip, one, other in zip(clips, some, others, strict=True):
            is_grey = np.abs(one - clip @ [[0.299], [0.587], [0.114]]).max() < 0.501
            assert np.array_equal(one, clip) or is_grey
            assert np.array_equal(other, one) or np.array_equal(other, one[::-1])
            greyed, turned = greyed + is_grey, turned + np.array_equal(other, one[::-1])
    assert 0 < greyed < 12 and 0 < turned < 12


def test_classes_that_are_not_played_backwards():
    def backwards(augment):
        return {(int(label), bool(clip[0, 0, 0, 0] > clip[-1, 0, 0, 0])) for clips, labels in batches(augment)
                for clip, label in zip(clips, labels, strict=True)}  # fmt: skip

    assert backwards(Augment({"reverse": 1.0})) == {(0, True), (1, True), (2, True)}
    assert backwards(Augment({"reverse": 1.0}, one_way=[0, 1])) == {(0, False), (1, False), (2, True)}
    options = TrainingOptions(reverse=1.0, one_way='open, "close"')
    assert backwards(recipe_augment(Pixels(), SAMPLING, options)) == {(0, False), (1, False), (2, True)}
    with pytest.warns(UserWarning, match="motion/train: no clip is played backwards"):
        alone = recipe_augment(motion_data_set("train"), SAMPLING, TrainingOptions(reverse=1.0))
    assert alone is random_crop_and_mirror
    clip = Pixels().pixels(0)[:4]
    alone = Augment({"reverse": 1.0}, one_way=[0])(clip, (20, 26), np.random.default_rng(0), False)
    assert np.array_equal(alone, clip)


def test_a_random_stride():
    found = dict.fromkeys(range(2, 7), 0)
    for clips, _ in batches(Augment(largest_stride=6), epochs=60):
        for clip in clips:
            steps = np.diff(clip[:, 0, 0, 0].astype(int)) // 8
            assert (steps == steps[0]).all()
            found[steps[0]] += 1
    assert sum(found.values()) == 360 and min(found.values()) > 40
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    augment = Augment(largest_stride=99)
    # 30 frames have room for 4 frames 9 apart, 6 for none but the sampling's own stride.
    assert max(clip_stride(augment, SAMPLING, 30, np.random.default_rng(seed)) for seed in range(200)) == 9
    assert {clip_stride(augment, SAMPLING, 6, np.random.default_rng(seed)) for seed in range(20)} == {2}
    clip_stride(augment, SAMPLING, 30, rng)
    assert rng.bit_generator.state == before
    assert clip_stride(augment, Sampling(frames=1, crop=(8, 8)), 5, rng) in range(2, 5)


def test_a_users_function_and_a_row_of_his_own(monkeypatch):
    given = []

    def own(clip, crop, rng, mirror):
        given.append((clip.shape, crop, mirror))
        return clip[:, : crop[0], : crop[1]]

    next(iter(training_batches(Pixels(), SAMPLING, 2, augment=own, workers=1)))
    assert given[0] == ((4, 20, 26, 3), (16, 20), True)
    row = AUGMENTATIONS["grey"]._replace(apply=lambda clip, draw, strength: 255 - clip)
    monkeypatch.setitem(AUGMENTATIONS, "negative", row)
    plain, negative = batches(Augment({"hue": 0.2})), batches(Augment({"hue": 0.2, "negative": 1.0}))
    assert all(np.array_equal(a, 255 - b) for (a, _), (b, _) in zip(plain, negative, strict=True))


@pytest.mark.parametrize("arguments, message", [
    (({"hues": 0.1},), "augmentation is 'hues'; expected some of"), (({"hue": 0.6},), "hue is 0.6; expected 0 to 0.5"),
    (({"grey": -0.1},), "grey is -0.1"), (({"grey": float("nan")},), "grey is nan"),
    (({}, random_crop_and_mirror, 0), "largest_stride is 0"),
])
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Augment(*arguments)


def test_every_row_is_an_option_with_its_range():
    options = {each.name: each for each in fields(TrainingOptions)}
    for name, row in AUGMENTATIONS.items():
        assert options[name].default == 0
        strongest = TrainingOptions(**{name: row.most})
        assert recipe_augment(Pixels(), SAMPLING, strongest).strengths == {name: row.most}
        with pytest.raises(ValueError, match=name):
            TrainingOptions(**{name: row.most + 0.01})
    with pytest.raises(ValueError, match=r"one_way has \['shut'\]; expected classes of pixels"):
        recipe_augment(Pixels(), SAMPLING, TrainingOptions(reverse=0.5, one_way="open,shut"))
    with pytest.raises(ValueError, match="largest_stride is 1; expected the stride, 2, or more"):
        recipe_augment(Pixels(), SAMPLING, TrainingOptions(largest_stride=1))


def test_the_command_trains_with_them(tmp_path, capsys):
    from keras_res3d.commands.main import main

    flags = ["--data", "motion", "--net", "d10", "--width", "2", "--crop", "16", "--iterations", "2", "--brightness",
             "0.4", "--hue", "0.1", "--grey", "0.2", "--reverse", "0.5", "--one_way", "left,right", "--largest_stride",
             "4", "--output", str(tmp_path / "run")]  # fmt: skip
    assert main(["train", *flags]) == 0
    assert '"one_way": "left,right"' in (tmp_path / "run" / "model.json").read_text()
    assert os.path.exists(tmp_path / "run" / "model.keras")
