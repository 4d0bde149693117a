"""The overlap loss against the released formula, and its gradient against finite differences and by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_res3d.tasks.detection.overlap_loss import OverlapLoss, WindowAccuracy, targets

LABELS = np.array([0, 2, 1, 2, 0])
IOUS = np.array([0.0, 1.0, 0.72, 0.51, np.nan])
LOGITS = np.random.default_rng(0).normal(0, 1.5, (5, 3))


def _released(logits, weight):
    """Softmax loss plus overlap loss, both divided by the batch, as the released layer computes them; its gradient."""
    batch = len(logits)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    value, gradient = 0.0, np.zeros_like(logits)
    for row, (label, iou) in enumerate(zip(LABELS, IOUS, strict=True)):
        p = scores[row, label]
        value += -np.log(p) / batch
        gradient[row] += (scores[row] - np.eye(3)[label]) / batch
        if label > 0:
            value += weight * 0.5 * (p**2 / iou**0.25 - 1) / batch
            for other in range(3):
                change = p * (1 - p) if other == label else -p * scores[row, other]
                gradient[row, other] += weight * p / iou**0.25 * change / batch
    return value, gradient


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("from_logits", [True, False])
def test_value_and_gradient(weight, from_logits):
    expected, by_hand = _released(LOGITS, weight)
    loss, y_true = OverlapLoss(weight, from_logits=from_logits), targets(LABELS, IOUS)
    logits = tf.Variable(LOGITS.astype(np.float32))
    with tf.GradientTape() as tape:
        value = loss(y_true, logits if from_logits else keras.ops.softmax(logits))
    gradient = tape.gradient(value, logits).numpy()
    assert float(value) == pytest.approx(expected, rel=1e-5)
    assert np.allclose(gradient, by_hand, atol=1e-6)
    for place in np.ndindex(LOGITS.shape):
        moved = np.zeros_like(LOGITS)
        moved[place] = 1e-5
        slope = (_released(LOGITS + moved, weight)[0] - _released(LOGITS - moved, weight)[0]) / 2e-5
        assert gradient[place] == pytest.approx(slope, abs=1e-5)


def test_a_badly_fitting_window_costs_more_than_a_well_fitting_one():
    loss = OverlapLoss()
    scores = np.array([[0.1, 0.9]], np.float32)
    assert float(loss(targets([1], [0.5]), scores)) > float(loss(targets([1], [0.9]), scores))
    plain = keras.losses.SparseCategoricalCrossentropy()
    assert float(loss(targets([0], [0.0]), scores)) == pytest.approx(float(plain(np.zeros(1), scores)))
    for wrong in ({"weight": -1}, {"alpha": -1}):
        with pytest.raises(ValueError, match="0 or more"):
            OverlapLoss(**wrong)


def test_a_net_learns_by_it_and_the_loss_is_saved_with_it(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    net = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    net.compile("adam", OverlapLoss(weight=0.5), metrics=[WindowAccuracy(name="clip@1")])
    before = net.evaluate(np.eye(3), targets([0, 1, 2], [0, 0.6, 0.8]), verbose=0)
    net.fit(np.eye(3), targets([0, 1, 2], [0, 0.6, 0.8]), epochs=40, verbose=0)
    after = net.evaluate(np.eye(3), targets([0, 1, 2], [0, 0.6, 0.8]), verbose=0)
    assert after[0] < before[0] and 0 <= after[1] <= 1
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert again.loss.weight == 0.5 and again.evaluate(np.eye(3), targets([0, 1, 2], [0, 0.6, 0.8]), verbose=0) == after
