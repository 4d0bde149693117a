"""LiteRT files for runtimes that take neither open sizes nor more than four axes."""

import keras
import numpy as np
import pytest

from keras_res3d import export_model, load_runner
from keras_res3d.data.transform import preprocess_input

interpreters = pytest.importorskip("ai_edge_litert.interpreter")


def tensors(path):
    """(shape, open shape) of every tensor, and the names of the operations, without any delegate."""
    kind = interpreters.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = interpreters.Interpreter(str(path), experimental_op_resolver_type=kind)
    details = interpreter.get_tensor_details()
    names = {each["op_name"] for each in interpreter._get_ops_details()}
    return [(each["shape"].tolist(), each["shape_signature"].tolist()) for each in details], names


@pytest.mark.parametrize(
    ("quantize", "options", "input_shape"),
    [
        ("none", {"rank4": True}, [4, 32, 32, 3]),
        ("float16", {"rank4": True}, [4, 32, 32, 3]),
        ("int8", {"rank4": True}, [4, 32, 32, 3]),
        ("int8", {"rank4": True, "batch": 3, "preprocessing": False, "integer_io": True}, [12, 32, 32, 3]),
        ("none", {"batch": 2}, [2, 4, 32, 32, 3]),
    ],
)
def test_fixed_sizes_and_four_axes(exported, model, clips, quantize, options, input_shape):
    path, report = exported("litert", quantize, **options)
    assert report.fault() is None and report.top1_agreement == 1
    shapes, operations = tensors(path)
    assert all(-1 not in open_shape for _, open_shape in shapes)
    if "rank4" in options:
        assert max(len(shape) for shape, _ in shapes) == 4
    assert not [name for name in operations if "Flex" in name or "DYNAMIC" in name or name in ("SHAPE", "CUSTOM")]
    interpreter = interpreters.Interpreter(str(path))
    assert interpreter.get_input_details()[0]["shape"].tolist() == input_shape
    runner = load_runner(path)
    assert runner.input_shape == (4, 32, 32, 3)
    given = clips if runner.dtype == np.uint8 else preprocess_input(clips)
    expected = model.predict_on_batch(preprocess_input(clips))
    for batch in (1, 2, 5):  # any number of clips, whatever the file takes at a time
        np.testing.assert_allclose(runner(given[:batch]), expected[:batch], atol=1e-5 if quantize == "none" else 0.1)


def test_open_sizes_are_the_default(exported):
    shapes, _ = tensors(exported("litert")[0])
    assert [-1, 4, 32, 32, 3] in [open_shape for _, open_shape in shapes]


class Loud(keras.layers.Layer):
    """A layer that the 2-D form takes over as it is, over all axes of a clip."""

    def call(self, maps):
        return keras.ops.cos(maps)


def test_five_axes_inside_are_refused(tmp_path):
    clip = keras.Input((4, 16, 16, 3))
    maps = Loud()(keras.layers.Conv3D(4, 3, padding="same")(clip))
    model = keras.Model(clip, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling3D()(maps)))
    options = {"format": "litert", "preprocessing": False}
    with pytest.raises(ValueError, match=r"^rank4.*more than four axes: .*\(1, 4, 16, 16, 4\)"):
        export_model(model, tmp_path / "net.tflite", rank4=True, **options)
    assert not list(tmp_path.iterdir())
    assert export_model(model, tmp_path / "net.tflite", **options).fault() is None
