"""OpenVINO's own options."""

import numpy as np
import pytest

from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.formats import load_runner


def test_bfloat16_is_a_hint(exported, model, clips):
    pytest.importorskip("openvino")
    scores = load_runner(exported("openvino")[0], precision="bf16")(clips[:4])
    np.testing.assert_allclose(scores, model.predict_on_batch(preprocess_input(clips[:4])), atol=0.05)
