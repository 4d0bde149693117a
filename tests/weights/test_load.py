import dataclasses

import keras
import numpy as np
import pytest

from keras_res3d.cards import save_model
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.source import WeightsError
from tests.weights import formula, nets
from tests.weights.writers import write_caffemodel

CLIP = np.random.default_rng(0).normal(size=(1, 8, 32, 32, 3)).astype(np.float32)


def snapshot(model):
    return [np.array(variable) for variable in model.weights]


def same(before, model):
    return all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))


@pytest.fixture
def trained():
    """A net whose every weight, statistics included, was set by formula."""
    model = nets.build(nets.RES3D)
    for variable in model.weights:
        variable.assign(1.5 + formula.uniform(variable.path, tuple(variable.shape)))
    return model


@pytest.mark.parametrize("suffix", ["weights.h5", "keras"])
def test_keras_files_load_by_name(tmp_path, trained, suffix):
    path = tmp_path / f"a.{suffix}"
    (trained.save if suffix == "keras" else trained.save_weights)(path)
    model = nets.build(nets.RES3D)
    assert load_weights(model, path) == []
    assert same(snapshot(trained), model)
    headless = nets.build(nets.RES3D, include_top=False)
    assert load_weights(headless, path) == []
    last = "res5a_branch2b"
    np.testing.assert_array_equal(headless.get_layer(last).kernel, trained.get_layer(last).kernel)


def test_another_number_of_classes_keeps_the_head_and_warns(tmp_path, trained):
    trained.save_weights(tmp_path / "a.weights.h5")
    model = nets.build(nets.RES3D, classes=9)
    before = np.array(model.get_layer("fc8").kernel)
    with pytest.warns(UserWarning, match="fc8 is left as it was"):
        notices = load_weights(model, tmp_path / "a.weights.h5")
    assert len(notices) == 1
    np.testing.assert_array_equal(model.get_layer("fc8").kernel, before)
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, trained.get_layer("conv1").kernel)


def test_a_net_without_projection_loads_into_one_that_has_it(tmp_path):
    theirs, ours = nets.build(nets.R3D), nets.build(nets.RES3D)
    theirs.save_weights(tmp_path / "a.weights.h5")
    with pytest.warns(UserWarning, match="identity"):
        load_weights(ours, tmp_path / "a.weights.h5")
    np.testing.assert_allclose(ours(CLIP), theirs(CLIP), rtol=1e-4, atol=1e-4)


def faulty_files(folder):
    """Files that do not fit the narrow net, with what the error must say."""
    layers = formula.caffe_layers(nets.RES3D)
    last = list(layers)[-1]
    yield write_caffemodel(folder / "missing.caffemodel", {k: v for k, v in layers.items() if k != last}), "missing"
    wrong = {**layers, last: [np.zeros((3, 3, 3), np.float32), layers[last][1]]}
    yield write_caffemodel(folder / "misshapen.caffemodel", wrong), "misshapen"
    yield write_caffemodel(folder / "unused.caffemodel", {**layers, "zz": [np.ones(2, np.float32)]}), "unused"
    nan = {**layers, last: [layers[last][0], np.full(5, np.nan, np.float32)]}
    yield write_caffemodel(folder / "nan.caffemodel", nan), "NaN"
    other = nets.build(nets.FACTORIZED)
    other.save_weights(folder / "other.weights.h5")
    yield folder / "other.weights.h5", "missing"
    other.save(folder / "other.keras")
    yield folder / "other.keras", "unused"
    cut = folder / "cut.weights.h5"
    nets.build(nets.RES3D).save_weights(cut)
    cut.write_bytes(cut.read_bytes()[:-2000])
    yield cut, "damaged"


def test_any_error_leaves_the_model_as_it_was(tmp_path):
    model = nets.build(nets.RES3D)
    before = snapshot(model)
    for path, told in faulty_files(tmp_path):
        with pytest.raises(WeightsError, match=rf"{path.name}.*{told}"):
            load_weights(model, path)
        assert same(before, model), path.name


def test_options_and_models_are_checked(tmp_path):
    path = nets.caffemodel(tmp_path / "a.caffemodel", nets.RES3D)
    model = nets.build(nets.RES3D)
    with pytest.raises(ValueError, match="untrained_taps is 'drop'; expected 'zero' or 'keep'"):
        load_weights(model, path, untrained_taps="drop")
    with pytest.raises(ValueError, match=r"source_frames is 2: .*at least 8x16x16"):
        load_weights(model, path, source_frames=2)
    with pytest.raises(ValueError, match="not a net of this family"):
        load_weights(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), path)


@pytest.mark.parametrize("frames", [16, None])
def test_untrained_taps_are_silenced_and_named(tmp_path, frames):
    path = nets.caffemodel(tmp_path / "a.caffemodel", nets.RES3D)
    kept, zeroed = (nets.build(nets.RES3D, input_shape=(frames, 32, 32, 3)) for _ in range(2))
    assert load_weights(kept, path, source_frames=8, untrained_taps="keep") == []
    with pytest.warns(UserWarning, match=r"res5a_branch2a \(taps 0\), res5a_branch2b \(taps 0, 2\)"):
        load_weights(zeroed, path, source_frames=8)
    kernel = np.array(kept.get_layer("res5a_branch2b").kernel)
    assert kernel[[0, 2]].any()
    kernel[[0, 2]] = 0
    np.testing.assert_array_equal(zeroed.get_layer("res5a_branch2b").kernel, kernel)
    np.testing.assert_array_equal(zeroed.get_layer("res4a_branch2b").kernel, kept.get_layer("res4a_branch2b").kernel)
    long = np.random.default_rng(0).normal(size=(1, 16, 32, 32, 3)).astype(np.float32)
    assert np.abs(np.asarray(kept(long)) - np.asarray(zeroed(long))).max() > 1e-3
    if frames is None:  # at the trained length they never mattered
        np.testing.assert_allclose(zeroed(CLIP), kept(CLIP), rtol=1e-5, atol=1e-5)


def test_a_keras_file_says_its_own_clip_length(tmp_path, trained):
    trained.save(tmp_path / "a.keras")
    model = nets.build(nets.RES3D, input_shape=(16, 32, 32, 3))
    with pytest.warns(UserWarning, match="trained at 8 frames and are loaded for 16"):
        load_weights(model, tmp_path / "a.keras")
    assert not np.asarray(model.get_layer("res5a_branch2a").kernel)[0].any()


def in_one_channel(model, channels=1):
    """The net on clips of other channels than RGB."""
    return keras.models.clone_model(model, input_tensors=keras.Input((8, 32, 32, channels)))


@pytest.mark.parametrize("suffix", ["weights.h5", "keras"])
def test_a_grey_clip_is_answered_as_the_rgb_net_answers_it(tmp_path, trained, suffix):
    path = tmp_path / f"a.{suffix}"
    (trained.save if suffix == "keras" else trained.save_weights)(path)
    grey = in_one_channel(nets.build(nets.RES3D))
    before = snapshot(grey)
    with pytest.raises(WeightsError, match=r'input channels 3 there, 1 here \(channels="adapt"'):
        load_weights(grey, path)
    with pytest.raises(ValueError, match="channels is 'mean'; expected None or 'adapt'"):
        load_weights(grey, path, channels="mean")
    assert same(before, grey)
    with pytest.warns(UserWarning, match="input channels of conv1: 1 here, 3 in"):
        load_weights(grey, path, channels="adapt")
    pixels = CLIP[..., :1]
    np.testing.assert_allclose(grey(pixels), trained(np.repeat(pixels, 3, -1)), rtol=1e-3, atol=1e-3)


# Strides leave no trace in a tensor: these nets' weights fit each other to the last one.
STRIDED = dataclasses.replace(nets.RES3D, name="strided", strides=(*nets.RES3D.strides[:4], (1, 2, 2)))


def test_weights_of_another_net_of_the_same_shapes_are_refused_where_the_card_tells(tmp_path):
    theirs, ours = nets.build(STRIDED), nets.build(nets.RES3D)
    save_model(theirs, tmp_path / "a.keras")
    before = snapshot(ours)
    with pytest.raises(WeightsError, match=r"holds weights of strided, and this net is narrow: .*strides .*check_net"):
        load_weights(ours, tmp_path / "a.keras")
    assert same(before, ours)
    load_weights(ours, tmp_path / "a.keras", check_net=False)
    assert all(np.array_equal(a, b) for a, b in zip(ours.weights, theirs.weights, strict=True))
    renamed = nets.build(dataclasses.replace(STRIDED, name="other"))
    assert load_weights(renamed, tmp_path / "a.keras") == []


@pytest.mark.parametrize("card", ['{"layers": []}', "{", None])
def test_a_file_without_a_card_of_ours_tells_no_net(tmp_path, card):
    nets.build(STRIDED).save(tmp_path / "a.keras")
    if card is not None:
        (tmp_path / "a.json").write_text(card)
    assert load_weights(nets.build(nets.RES3D), tmp_path / "a.keras") == []


def test_a_run_folder_is_taken_for_its_model(tmp_path, trained):
    (tmp_path / "run").mkdir()
    with pytest.raises(FileNotFoundError, match=r"run holds no model\.keras"):
        load_weights(nets.build(nets.RES3D), tmp_path / "run")
    save_model(trained, tmp_path / "run" / "model.keras")
    model = nets.build(nets.RES3D)
    assert load_weights(model, tmp_path / "run") == []
    assert same(snapshot(trained), model)


def test_an_unknown_clip_length_changes_nothing(tmp_path):
    model = nets.build(nets.RES3D, input_shape=(16, 32, 32, 3))
    assert load_weights(model, nets.caffemodel(tmp_path / "a.caffemodel", nets.RES3D)) == []
    assert np.asarray(model.get_layer("res5a_branch2a").kernel)[0].any()
