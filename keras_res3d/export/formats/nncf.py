"""int8 by NNCF, for the formats that have no quantiser of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_res3d.export.formats.base import missing_extra


def quantized(model, calibration: np.ndarray, format: str, input_name: str | None = None,
              max_drop: float | None = None) -> Any:  # fmt: skip
    """An ONNX or OpenVINO model with int8 weights and activations.

    Args:
        model: what `nncf.quantize` takes.
        calibration: clips as the export takes them.
        format: whose extra to name where NNCF is not installed.
        input_name: of the clip, for models whose inputs are given by name.
        max_drop: of an OpenVINO model: the share of the clips whose best class may become another one; the layers that
            cost most stay in float until that holds. None quantises all.
    """
    try:
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    except ImportError as error:
        raise missing_extra(format, error) from error
    clips = [clip[None] for clip in calibration]
    items = clips if input_name is None else [{input_name: clip} for clip in clips]
    # The whole range seen is taken, as LiteRT's converter does. NNCF's default is a mean of ranges, which with so few
    # clips cuts off more than it gains (the largest error was twice as large on a narrow net).
    options = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX)
    if max_drop is not None:
        return _controlled(model, clips, max_drop, options)
    return nncf.quantize(model, nncf.Dataset(items), subset_size=len(items), advanced_parameters=options)


def _controlled(model, clips: list[np.ndarray], max_drop: float, options) -> Any:
    """Quantised but for the layers that change more best classes of the clips than `max_drop` lets."""
    import nncf
    import openvino

    plain = openvino.Core().compile_model(model, "CPU")
    best = [int(np.argmax(plain([clip])[0])) for clip in clips]
    wanted = nncf.Dataset(list(zip(clips, best, strict=True)), lambda item: item[0])

    def agreement(compiled, items) -> tuple[float, list[float]]:
        same = [float(np.argmax(compiled([clip])[0]) == kept) for clip, kept in items]
        return sum(same) / len(same), same

    return nncf.quantize_with_accuracy_control(
        model, nncf.Dataset(clips), wanted, agreement, max_drop=max_drop, subset_size=len(clips),
        advanced_quantization_parameters=options,
    )  # fmt: skip
