"""A net drawn as SVG from its walk: a box for each convolution, a bow for each shortcut, a colour for each group."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from keras_res3d.nets.architecture import Architecture, Layer, for_input, layer_shapes, walk
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.reports.zoo import size_text

# In units of the drawing: a box, the room between two, what stands left and right of the column, and above it.
BOX, ROW, GAP, LEFT, RIGHT, TOP = 190, 24, 12, 120, 150, 56
# Of groups 1 to 5; the head is grey. A convolution that reaches over time is filled, one within a frame has the edge.
GROUPS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
HEAD = "#999999"
BOXES = ("conv", "pool", "average", "dense", "flatten")


@dataclass(frozen=True)
class Box:
    """A step of the main path. text: kernel, channels and stride; size: of what it gives."""

    layer: Layer
    text: str
    size: str


@dataclass(frozen=True)
class Bow:
    """A shortcut from the output of a box (-1 is the clip) to the output of another; text: of its projection, or ""."""

    start: int
    end: int
    text: str


def _text(layer: Layer) -> str:
    stride = "" if layer.strides == (1, 1, 1) else f" / {size_text(layer.strides)}"
    return {
        "conv": f"{size_text(layer.kernel)}, {layer.channels_out}{stride}",
        "pool": f"max pool {size_text(layer.kernel)}",
        "average": "average pool",
        "flatten": "flatten",
        "dense": f"dense, {layer.channels_out}",
    }[layer.op]


def steps(net: str | Architecture, input_shape=None) -> tuple[list[Box], list[Bow]]:
    """The boxes of a net's main path, and its shortcuts.

    Args:
        net: a name of the zoo or an `Architecture`.
        input_shape: `(frames, height, width, channels)`; None means the net's own.
    """
    architecture, shape = for_input(get_architecture(net), input_shape)
    layers = walk(architecture)
    shapes = layer_shapes(layers, shape)
    boxes: list[Box] = []
    bows: list[Bow] = []
    # The box whose output a layer passes on, and the projection on a shortcut's way.
    place, projections = {"input": -1}, {}
    for layer in layers:
        if layer.op == "conv" and layer.name.endswith("_branch1"):
            place[layer.name] = place[layer.inputs[0]]
            projections[layer.name] = _text(layer)
        elif layer.op in BOXES:
            place[layer.name] = len(boxes)
            boxes.append(Box(layer, _text(layer), size_text(shapes[layer.name])))
        elif layer.op == "add":
            source, main = layer.inputs
            bows.append(Bow(place[source], place[main], projections.get(source, "")))
            place[layer.name] = place[main]
        else:
            place[layer.name] = place[layer.inputs[0]]
            if layer.inputs[0] in projections:
                projections[layer.name] = projections[layer.inputs[0]]
    return boxes, bows


def architecture_svg(net: str | Architecture, input_shape=None) -> str:
    """A net as an SVG file, from the clip at the top to the classes.

    Args:
        net, input_shape: as of `steps`.

    Raises:
        ValueError: an unknown net, or a clip that is too small.
    """
    architecture, shape = for_input(get_architecture(net), input_shape)
    boxes, bows = steps(architecture, shape)
    width, height = LEFT + BOX + RIGHT, TOP + len(boxes) * (ROW + GAP) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(architecture.name)}, width {architecture.width}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _label(LEFT + BOX / 2, 18, architecture.name, "middle", 'font-weight="bold" font-size="14"'),
        _label(LEFT + BOX / 2, 38, f"clip {size_text(shape)}", "middle"),
    ]
    for bow in bows:
        parts += _bow(bow)
    for number, box in enumerate(boxes):
        parts += _box(number, box, boxes[number - 1] if number else None)
    return "\n".join([*parts, "</svg>", ""])


def _top(number: int) -> float:
    return TOP + number * (ROW + GAP)


def _label(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def _box(number: int, box: Box, before: Box | None) -> list[str]:
    """A box with its name left of it, the line that leads to it, and the size of the map where it changes."""
    y, middle = _top(number), LEFT + BOX / 2
    colour = GROUPS[box.layer.group - 1] if box.layer.group else HEAD
    reaches = box.layer.op == "conv" and box.layer.kernel[0] > 1
    fill = colour if reaches or not box.layer.group else "#ffffff"
    parts = [
        f'<line x1="{middle:g}" x2="{middle:g}" y1="{y - GAP:g}" y2="{y:g}" stroke="#333333"/>',
        f'<rect x="{LEFT}" y="{y:g}" width="{BOX}" height="{ROW}" rx="4" fill="{fill}" fill-opacity="0.55" '
        f'stroke="{colour}" stroke-width="2"/>',
        _label(middle, y + 16, box.text, "middle"),
        _label(LEFT - 8, y + 16, box.layer.name, "end", 'fill="#555555"'),
    ]
    if before is None or before.size != box.size:
        # Left of the line: shortcuts leave to the right.
        parts.append(_label(middle - 6, y + ROW + 10, box.size, "end", 'fill="#555555" font-size="9"'))
    return parts


def _bow(bow: Bow) -> list[str]:
    """From the line below a box to that below another, dashed where a projection lies on it."""
    start, end = (_top(number) + ROW + GAP / 2 for number in (bow.start, bow.end))
    middle, right = LEFT + BOX / 2, LEFT + BOX + 34
    dashes = ' stroke-dasharray="5 3"' if bow.text else ""
    path = f"M{middle:g} {start:g}H{right - 10:g}Q{right:g} {start:g} {right:g} {start + 10:g}V{end - 10:g}"
    path += f"Q{right:g} {end:g} {right - 10:g} {end:g}H{middle:g}"
    parts = [f'<path d="{path}" fill="none" stroke="#333333"{dashes}/>']
    if bow.text:
        parts.append(_label(right + 6, (start + end) / 2 + 4, bow.text, "start", 'font-size="10"'))
    return parts
