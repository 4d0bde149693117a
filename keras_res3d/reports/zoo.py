"""The zoo and its nets as tables: what `keras-res3d models` and the docs show."""

from __future__ import annotations

from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import count_macs, count_params, layer_counts
from keras_res3d.nets.zoo import PUBLISHED, ZOO, get_architecture


def size_text(shape: tuple) -> str:
    """`(8, 112, 112, 3)` as `8x112x112x3`."""
    return "x".join(str(n) for n in shape)


def printed(ours: float, published: float) -> str:
    """The published figure, with a star where ours differs from it at the precision that it is printed with."""
    digits = len(str(published).partition(".")[2])
    return str(published) + ("" if round(ours, digits) == published else "*")


def zoo_table() -> tuple[list[str], list[list[str]]]:
    """Every net with its counts and the published figures; a star marks a published figure that differs.

    Parameters are in millions, multiply-accumulates in billions. The live ones leave out kernel taps and products that
    meet nothing but temporal zero padding. Nets are counted with as many classes as the published figure has (101, 487
    or 400); a net without published figures has its own number of classes, and dashes.

    Returns:
        Header and rows, as `keras_res3d.tables` takes them.
    """
    header = ["net", "input", "classes", "params M", "live M", "GMACs", "live GMACs", "published M", "published G"]
    rows = []
    for name, architecture in ZOO.items():
        published = PUBLISHED.get(name)
        classes = published.classes if published else architecture.classes
        params, macs = count_params(name, classes) / 1e6, count_macs(name, classes=classes) / 1e9
        live_params = count_params(name, classes, live=True) / 1e6
        live_macs = count_macs(name, classes=classes, live=True) / 1e9
        rows.append([
            name,
            size_text(architecture.input_shape[:3]),
            str(classes),
            f"{params:.2f}",
            f"{live_params:.2f}",
            f"{macs:.2f}",
            f"{live_macs:.2f}",
            f"{printed(params, published.params)} ({published.source})" if published else "-",
            printed(macs, published.gmacs) if published else "-",
        ])  # fmt: skip
    return header, rows


def _steps_text(layers) -> str:
    """The convolutions of a group in the paper's notation, equal neighbours joined."""
    parts = []
    for layer in layers:
        strides = "" if layer.strides == (1, 1, 1) else f"/{size_text(layer.strides)}"
        text = f"{size_text(layer.kernel)}{strides} {layer.channels_out}"
        if parts and parts[-1][0] == text:
            parts[-1][1] += 1
        else:
            parts.append([text, 1])
    return " ".join(text if count == 1 else f"({text})x{count}" for text, count in parts)


def net_table(
    net: str | Architecture, classes: int | None = None, input_shape: tuple | None = None
) -> tuple[list[str], list[list[str]]]:
    """One net group by group: output, parameters, GMACs, the live ones of both, convolutions of the main path.

    Args:
        net, classes, input_shape: as of `count_params`.

    Returns:
        Header and rows, as `keras_res3d.tables` takes them.
    """
    architecture = get_architecture(net)
    counted = layer_counts(architecture, classes, input_shape)
    live = layer_counts(architecture, classes, input_shape, live=True)
    header = ["group", "output", "params", "live params", "GMACs", "live GMACs", "convolutions: kernel/stride channels"]
    rows = []
    for group in (1, 2, 3, 4, 5, 0):
        mine = [row for row in counted if row[0].group == group]
        alive = [row for row in live if row[0].group == group]
        convs = [layer for layer, *_ in mine if layer.op == "conv" and not layer.name.endswith("_branch1")]
        steps = _steps_text(convs) or " ".join(f"{layer.name} {layer.channels_out or ''}".strip() for layer, *_ in mine)
        rows.append([f"conv{group}" if group else "head", size_text(mine[-1][1]), *_sums(mine, alive), steps])
    total = _sums(counted, live)
    return header, [*rows, ["total", "", *total, ""]]


def _sums(rows, live_rows) -> list[str]:
    params, live_params = (sum(row[2] for row in part) for part in (rows, live_rows))
    macs, live_macs = (sum(row[3] for row in part) / 1e9 for part in (rows, live_rows))
    return [f"{params:,}", f"{live_params:,}", f"{macs:.3f}", f"{live_macs:.3f}"]
