"""What a run inherits from the weights that it starts from: net, sampling, licence, what they were trained on."""

from __future__ import annotations

import dataclasses

from keras_res3d.cards import ModelCard
from keras_res3d.data.clips import Sampling, for_crop
from keras_res3d.data.seen import sketch_of
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.weights.pretrained import describe


def card_of_weights(net: str | Architecture | None, weights) -> ModelCard | None:
    """The card of what `weights` names: a run's folder, a file, published weights. None where nothing tells.

    Args:
        net: a name of the zoo or an `Architecture`; None: `weights` alone says.
        weights: as of `build_model`.

    Raises:
        ValueError, FileNotFoundError, WeightsError: as of `describe`.
    """
    found = describe(net, weights)
    if found.card is not None or found.sampling is None:
        return found.card
    return ModelCard(found.net or "", found.labels, found.sampling, found.licence, found.trained_on)


def net_of_weights(weights) -> Architecture | None:
    """The net that a card or the name of published weights ("res3d18/sports1m") tells; None where nothing does."""
    try:
        found = describe(None, weights).architecture
    except ValueError:  # the tag of a net that is named elsewhere; what is unknown to that net too is refused there
        return None
    if found is None:
        return None
    # The momentum of that run was fitted to its length; the new run fits its own.
    momentum = ZOO[found.name].batch_norm_momentum if found.name in ZOO else found.batch_norm_momentum
    return dataclasses.replace(found, batch_norm_momentum=momentum)


def starting_sampling(
    architecture: Architecture,
    options: TrainingOptions,
    before: ModelCard | None = None,
    preprocessing: str | None = None,
) -> Sampling:
    """How a run's clips are taken: what the options and `preprocessing` say, else what the weights had, else the net's.

    Args:
        architecture: its frames and crop come last.
        options: frames, stride and crop, of a recipe or given.
        before: the card of the weights to start from.
        preprocessing: a name in `data.transform.PREPROCESSING`; None: the weights', or "res3d".
    """
    if before is None:
        return options.sampling(architecture.frames, architecture.crop, preprocessing or "res3d")
    base = before.sampling
    frames, stride = options.frames or base.frames, options.stride or base.stride
    if options.crop is not None and (options.crop, options.crop) != base.crop:
        cropped = for_crop(frames, stride, options.crop)
        base = dataclasses.replace(base, crop=cropped.crop, resize=cropped.resize)
    preprocessing = preprocessing or base.preprocessing
    return dataclasses.replace(base, frames=frames, stride=stride, preprocessing=preprocessing)


def starting_card(architecture: Architecture, weights, data_set, sampling: Sampling) -> ModelCard:
    """The card of a net that starts from `weights` (as of `card_of_weights`): licence and training data carry over."""
    before = card_of_weights(architecture, weights)
    trained_on = [before.trained_on, data_set.name] if before is not None and before.trained_on else [data_set.name]
    return ModelCard(
        architecture.name,
        tuple(data_set.classes),
        sampling,
        "" if before is None else before.licence,
        ", ".join(trained_on),
        seen=sketch_of(data_set),
    )
