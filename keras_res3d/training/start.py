"""What a run inherits from the weights that it starts from: net, sampling, licence, what they were trained on."""

from __future__ import annotations

import dataclasses
import pathlib

from keras_res3d.cards import ModelCard, read_card
from keras_res3d.data.clips import Sampling, for_crop
from keras_res3d.data.seen import sketch_of
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.zoo import ZOO, get_architecture
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.weights.catalog import entries, resolve


def weights_file(weights) -> str | pathlib.Path | None:
    """`weights` as the builders take them: of a run's folder its model.keras."""
    path = pathlib.Path(weights) if isinstance(weights, (str, pathlib.Path)) and weights else None
    return path / "model.keras" if path is not None and path.is_dir() else weights


def card_of_weights(net: str | Architecture | None, weights) -> ModelCard | None:
    """The card of what `weights` names: a run's folder, a file, published weights of `net`. None where there is none.

    Args:
        net: a name of the zoo or an `Architecture`; None: `weights` alone says.
        weights: as of `build_model`, or a run's folder.
    """
    if weights is None:
        return None
    own = get_architecture(net or net_of_weights(weights) or "sr18")
    entry = resolve(own, weights)
    if entry is None:
        return read_card(weights_file(weights))
    return ModelCard(entry.net, (), Sampling(**entry.sampling_fields()), entry.licence, entry.trained_on)


def net_of_weights(weights) -> Architecture | None:
    """The net that a card or the name of published weights ("res3d18/sports1m") tells; None where nothing does."""
    names = {entry.name: entry.net for entry in entries()}
    if weights in names and not pathlib.Path(weights).exists():
        return get_architecture(names[weights])
    card = read_card(weights_file(weights)) if weights and pathlib.Path(weights).exists() else None
    if card is None or card.architecture is None:
        return None
    found = card.architecture
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
