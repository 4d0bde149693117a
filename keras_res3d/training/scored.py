"""The weights of a model in training that are scored and saved, and what its outputs are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from keras_res3d.training.distributed import average_moving_statistics


def inner_optimizer(optimizer: keras.Optimizer) -> keras.Optimizer:
    """The optimizer inside a loss scale, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


@contextlib.contextmanager
def scored_weights(model: keras.Model) -> Iterator[None]:
    """Inside the block the model has the weights that count: those averaged over the steps, where its optimizer does.

    Batch norm's moving statistics are made to agree between replicas. The weights in training come back bit for bit.
    """
    average_moving_statistics(model, model.distribute_strategy)
    if not getattr(inner_optimizer(model.optimizer), "use_ema", False) or not model.optimizer.built:
        yield
        return
    variables = model.trainable_variables
    kept = [variable.numpy() for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def check_finite(model: keras.Model, step: int) -> None:
    """Raises RuntimeError, naming the variable, where a weight of the model is NaN or infinite."""
    for variable in model.weights:
        if keras.backend.is_float_dtype(variable.dtype) and not np.isfinite(np.asarray(variable.numpy())).all():
            raise RuntimeError(f"{variable.path} became NaN or infinite by step {step}; it is not saved")


def gives_logits(model: keras.Model) -> bool:
    """Whether a classifier ends without an activation, so that its outputs are no probabilities yet."""
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return gives_logits(last)
    if isinstance(last, keras.layers.Softmax):
        return False
    return getattr(last, "activation", None) in (None, keras.activations.linear)
