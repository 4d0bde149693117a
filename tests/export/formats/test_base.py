"""Every runtime's wrapper gives the same scores, and refuses clips that do not fit by naming what does."""

import importlib.util

import numpy as np
import pytest

from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.formats import FORMATS, load_runner
from keras_res3d.export.formats.base import check_batch, missing_extra

NEEDS = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "openvino": ("openvino",)}


def runner_of(exported, format, **options):
    for name in NEEDS.get(format, ()):
        pytest.importorskip(name)
    return load_runner(exported(format, **options)[0])


@pytest.mark.parametrize("format", ["saved_model", "litert", "onnx", "openvino"])
def test_scores_card_and_refusals(exported, model, card, clips, format):
    runner = runner_of(exported, format)
    assert (runner.input_shape, runner.dtype, runner.card) == ((4, 32, 32, 3), np.uint8, card)
    expected = model.predict_on_batch(preprocess_input(clips[:5]))
    for batch in (5, 1, 3):
        scores = runner(clips[:batch])
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected[:batch], atol=1e-5)
    needed = r"expected uint8 \(RGB pixels\) of shape \(batch, 4, 32, 32, 3\)"
    for wrong in (clips[0], clips[:0], clips[:1, :3], clips[:1, :, :31], clips[:1].astype(np.float32), clips[..., :2]):
        with pytest.raises(ValueError, match=needed):
            runner(wrong)


def test_check_batch_takes_lists():
    assert check_batch([[[[[1.5]]]]], (1, 1, 1, 1), np.float64).shape == (1, 1, 1, 1, 1)


def test_a_missing_runtime_names_its_extra():
    error = missing_extra("openvino", ModuleNotFoundError("No module", name="nncf"))
    assert str(error) == "openvino needs nncf, which is not installed: pip install 'keras-res3d[openvino]'"


def test_an_optional_package_that_is_missing_is_named():
    for name, format in (("tf2onnx", "onnx"), ("openvino", "openvino")):
        if importlib.util.find_spec(name) is None:
            with pytest.raises(ImportError, match=rf"pip install 'keras-res3d\[{format}\]'"):
                FORMATS[format].write(None, "net", None)
