"""Fine-tuning: keeps the early groups of a net as they are."""

from __future__ import annotations

from keras_res3d.nets.architecture import walk
from keras_res3d.nets.inside import net_inside
from keras_res3d.nets.recognise import architecture_of

GROUPS = ("conv1", "conv2", "conv3", "conv4", "conv5")


def freeze(model, through: str = "conv4") -> list[str]:
    """Freezes the groups of `model` up to and including `through`, batch norm included.

    A frozen batch norm runs in inference mode even while the net trains: it uses its stored statistics and does not
    update them, which is what Keras makes of `trainable = False`.

    Freezing adds to what is frozen already; `unfreeze(model)` undoes all of it. `model.trainable = True` does not undo
    it: the model's own flag is True all the time, and Keras on TensorFlow skips setting an attribute to the value that
    it has. Call `compile` after either function, as Keras asks for.

    Args:
        model: a net of this package's builders, or a Keras model that extends one or holds one as a nested model.
            Layers of the user's own stay as they are.
        through: "conv1" to "conv5", the last group to freeze.

    Returns:
        The names of the layers with weights that are frozen, in order.

    Raises:
        ValueError: an unknown group, or a model that holds no net of this family, or several.
    """
    if through not in GROUPS:
        raise ValueError(f"through is {through!r}; expected one of {', '.join(GROUPS)}")
    last = GROUPS.index(through) + 1
    frozen = []
    net = net_inside(model)
    for layer in walk(architecture_of(net), include_top=False):
        if layer.group <= last and layer.op in ("conv", "norm"):
            net.get_layer(layer.name).trainable = False
            frozen.append(layer.name)
    return frozen


def unfreeze(model) -> None:
    """Makes every layer inside a Keras model trainable again, whatever froze it, batch norms included.

    Call it before `compile`, or compile again.
    """
    model.trainable = False  # otherwise the next line does nothing, see `freeze`
    model.trainable = True
