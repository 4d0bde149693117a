"""int8 by NNCF, for the formats that have no quantiser of their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_res3d.export.formats.base import missing_extra


def quantized(model, calibration: np.ndarray, format: str, input_name: str | None = None) -> Any:
    """An ONNX or OpenVINO model with int8 weights and activations.

    Args:
        model: what `nncf.quantize` takes.
        calibration: clips as the export takes them.
        format: whose extra to name where NNCF is not installed.
        input_name: of the clip, for models whose inputs are given by name.
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
    return nncf.quantize(model, nncf.Dataset(items), subset_size=len(items), advanced_parameters=options)
