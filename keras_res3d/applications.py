"""The public builders, in the manner of `keras.applications`: a net and where its numbers come from."""

from __future__ import annotations

import keras

from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.build import build_graph, for_clips
from keras_res3d.nets.counts import with_budget
from keras_res3d.nets.zoo import get_architecture, mixed_conv3d
from keras_res3d.weights.catalog import WeightsEntry
from keras_res3d.weights.pretrained import describe, load_pretrained


def _check_published(entry: WeightsEntry, own_width: int, architecture: Architecture, channels: str | None) -> None:
    """Refuses what published weights cannot fit, before they are fetched; whatever else differs, loading them says."""
    if architecture.width != own_width:
        raise ValueError(
            f"weights {entry.name} are of width {own_width}, the net has width {architecture.width}: leave width and "
            "target_params out, or start from weights=None"
        )
    if architecture.channels != 3 and channels is None:
        raise ValueError(
            f"weights {entry.name} are of an RGB net, the input has {architecture.channels} channels: "
            'channels="adapt" makes the first kernel of theirs, weights=None starts without them'
        )


def build_model(
    net: str | Architecture,
    include_top: bool = True,
    weights=None,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    name: str | None = None,
    trim: bool = False,
    *,
    width: int | None = None,
    target_params: int | None = None,
    channels: str | None = None,
) -> keras.Model:
    """Any net of the zoo, or any `Architecture`, as a Keras functional model.

    Args:
        net: a name (`keras-res3d models` lists them) or an `Architecture`.
        include_top: whether to add the classifier.
        weights: None for random initialisation; the name of published weights of this net ("sports1m", "ucf101",
            "kinetics400"; `keras-res3d weights` lists them with their licences), fetched and converted at first use;
            or the path of a file in any format of docs/weights.md, or of a folder of `keras-res3d train`. Kernel taps
            that were dead at the source's clip length and come alive at this one's are set to zero, with a notice;
            `load_pretrained(model, net, weights, untrained_taps="keep")` on a model without weights leaves them.
        input_tensor: a Keras tensor to build on, `(batch, frames, height, width, channels)`.
        input_shape: `(frames, height, width, channels)`, with channels last whatever `keras.json` says. None means the
            net's own, with 3 channels. Frames, height and width may be None unless the classifier reads a flattened
            map (C3D). Any number of channels from 1 is taken: 1 for thermal video, 2 for optical flow, 4 for RGB with
            depth. `preprocess_input` is for RGB alone: bring other channels to a mean near 0 and to a range of about
            -128 to 128 (the paper's nets) or -2 to 2 (torchvision's), which is what RGB is brought to.
        pooling: used without the top. None gives the last feature map; "avg" and "max" pool it over time and space.
        classes: outputs of the classifier. None means as many as the weights have, or without weights the net's own.
            Another number than the weights' gives a new classifier, with a notice.
        classifier_activation: of the output; None for logits.
        name: of the Keras model; None means the net's.
        trim: leave out the temporal kernel taps that meet nothing but zero padding at this clip length. The function
            and its updates stay the same, with fewer parameters (docs/trimmed.md). The number of frames must be known,
            and the model then takes no other. `weights` are those of the whole net, or of a trimmed one.
        width: k, the channels of the first group, as in `build_model("sr18", width=32)`; None means the net's own.
        target_params: a budget of parameters, instead of `width`: the width nearest to it is solved for
            (`solve_width`), counted on the whole net with its classifier at `input_shape` and `classes`.
        channels: what to do with RGB weights where the input has another number of channels. None refuses them;
            "adapt" makes a first kernel from theirs by the rule in docs/weights.md (see `load_pretrained`).

    Returns:
        A `keras.Model` that takes preprocessed clips (see `preprocess_input`). Layers have the released net's names:
        `model.get_layer("res5b").output` is the last feature map.

    Raises:
        ValueError: an unknown net, option or name of weights, a clip too small for the strides (the message has the
            known names or the smallest size), both `width` and `target_params`, or published weights of another width
            or number of channels.
        OSError, WeightsError: the weights cannot be found or downloaded, or do not fit; see `load_pretrained`.
    """
    architecture = get_architecture(net)
    described = describe(architecture, weights)
    if classes is None:
        classes = described.classes
    own, shape = for_clips(architecture, input_tensor, input_shape)
    architecture = with_budget(own, width, target_params, classes, shape)
    if channels not in (None, "adapt"):
        raise ValueError(f"channels is {channels!r}; expected None or 'adapt'")
    if described.entry is not None:
        _check_published(described.entry, own.width, architecture, channels)
    model = build_graph(
        architecture, include_top, input_tensor, input_shape, pooling, classes, classifier_activation, name, trim
    )
    if weights is not None:
        load_pretrained(model, architecture, weights, channels=channels)
    return model


def _builder(public_name: str, net: str, summary: str):
    """A builder of one row: `build_model` with the net filled in."""

    def build(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=None,
        classifier_activation="softmax",
        name=None,
        trim=False,
        *,
        width=None,
        target_params=None,
        channels=None,
    ) -> keras.Model:
        return build_model(
            net, include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name, trim,
            width=width, target_params=target_params, channels=channels,
        )  # fmt: skip

    build.__name__ = build.__qualname__ = public_name
    build.__doc__ = f"{summary}\n\nArguments, returns and errors: see `build_model`."
    return build


Res3D18 = _builder("Res3D18", "res3d18", "The paper's 18-layer 3D residual net; clips of 8 x 112 x 112 (table 2).")
Res3D34 = _builder("Res3D34", "res3d34", "The paper's 34-layer 3D residual net; clips of 8 x 112 x 112 (table 3).")
SR18 = _builder("SR18", "sr18", "The 18-layer net the paper's search starts from; clips of 4 x 112 x 112 (section 4).")
C3D = _builder("C3D", "c3d", "The baseline: 8 convolutions, 5 poolings, 3 dense layers; clips of 16 x 112 x 112.")


def MixedConv3D(
    first_2d_group: int = 5,
    width: int | None = None,
    target_params: int | None = None,
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=None,
    classifier_activation="softmax",
    name=None,
    trim=False,
    *,
    channels=None,
) -> keras.Model:
    """MC1 to MC5 (section 4.3): groups `first_2d_group` to 5 have 1 x d x d kernels, the earlier ones 3 x d x d.

    Args:
        first_2d_group: 1 (no temporal kernel at all) to 5.
        width: k; None means the published width, unless a budget is given.
        target_params: a budget of parameters; the width nearest to it is solved for (`solve_width`).

    All other arguments, returns and errors as of `build_model`.

    Raises:
        ValueError: both `width` and `target_params` are given, or `first_2d_group` is out of range.
    """
    return build_model(
        mixed_conv3d(first_2d_group), include_top, weights, input_tensor, input_shape, pooling, classes,
        classifier_activation, name, trim, width=width, target_params=target_params, channels=channels,
    )  # fmt: skip
