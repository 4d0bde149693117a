"""Model cards: one page on every net of the zoo and all published weights, out of the package's own tables."""

from __future__ import annotations

from collections.abc import Iterator

from keras_res3d import tables
from keras_res3d.data.transform import preprocessing_row
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import count_macs, count_params
from keras_res3d.nets.zoo import PAPERS, PUBLISHED, ZOO
from keras_res3d.reports.zoo import printed, zoo_table
from keras_res3d.tasks.paper import paper_figures
from keras_res3d.weights.catalog import WeightsEntry, entries

HEAD = """# Models: every net and all published weights

`keras-res3d models --cards docs/models.md` writes this page out of the tables that the package itself goes by: the zoo
and the catalog of weights. Counts are exact. Live parameters and multiply-accumulates leave out kernel taps that meet
nothing but temporal zero padding. A star marks a published count that differs from ours. Accuracies are their
publishers'; none was measured with this package.

Every net classifies clips of RGB video, and has no weights until it is trained or takes published ones. What weights
were trained on limits what they are good for: they say which class of a closed list a clip is most like, and give a
class of the list to a clip of anything else too. Nobody here has examined them for fairness, or for use where an error
does harm.
"""
# How a licence whose name holds the mark limits the use of the weights, and of nets that are fine-tuned from them.
_LICENCES = {"NC": "no commercial use; nets that are fine-tuned from these weights derive from them"}
_DATA_SETS = {"ucf101": "UCF101", "hmdb51": "HMDB51"}


def _kernels(net: Architecture) -> str:
    """What its convolutions reach over."""
    spatial = [str(group) for group, extent in enumerate(net.temporal_kernels, 1) if extent == 1]
    if len(spatial) == len(net.temporal_kernels):
        return "2D convolutions, each over single frames"
    if spatial:
        return f"2D convolutions in groups {', '.join(spatial)} of 5 and 3D convolutions in the others"
    split = ", each split into one over space and one over time" if net.factorized else ""
    return f"3D convolutions{split}"


def _is(net: Architecture) -> str:
    """The net in a sentence."""
    if net.shortcut is None:
        return (
            f"A plain net of {sum(net.blocks)} convolutions, {len(net.pools)} poolings and {len(net.dense) + 1} dense "
            f"layers, width {net.width}: {_kernels(net)}."
        )
    shortcut = "wherever the shape changes" if net.shortcut == "identity" else "in the first block of every group"
    return (
        f"A residual net of {2 * sum(net.blocks) + 2} layers, width {net.width}: {_kernels(net)}. Shortcuts are "
        f"projections {shortcut}."
    )


def preprocessing_text(mode: str) -> str:
    """How pixels become the input, in the notation of a formula: `BGR - 128`."""
    row = preprocessing_row(mode)
    text = row.order.upper() if row.scale == 1 else f"{row.order.upper()} / {1 / row.scale:.0f}"
    mean, std = (tuple(dict.fromkeys(values)) for values in (row.mean, row.std))
    if mean != (0.0,):
        text += f" - {_numbers(mean)}"
    return text if std == (1.0,) else f"({text}) / {_numbers(std)}"


def _numbers(values: tuple) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"({', '.join(f'{value:g}' for value in values)})"


def _accuracies(name: str) -> Iterator[str]:
    """What the paper prints for the net, trained from random weights."""
    for data_set, title in _DATA_SETS.items():
        figures = paper_figures(data_set, name)
        if figures is not None and figures.search:
            yield f"{title}: {figures.search.partition(', ')[2]}"


def _counts(name: str, net: Architecture) -> Iterator[tuple[str, str]]:
    published = PUBLISHED.get(name)
    classes = published.classes if published else net.classes
    params, live = (count_params(net, classes, live=alive) for alive in (False, True))
    macs, live_macs = (count_macs(net, classes=classes, live=alive) / 1e9 for alive in (False, True))
    yield "parameters", f"{params:,} with {classes} classes; {live:,} of them are live"
    yield "multiply-accumulates", f"{macs:.2f} billion for a clip; {live_macs:.2f} billion of them are live"
    if published:
        figures = printed(params / 1e6, published.params), printed(macs, published.gmacs)
        yield "published counts", f"{figures[0]} million, {figures[1]} billion ({published.source})"


def net_card(name: str) -> list[tuple[str, str]]:
    """The card of a net of the zoo.

    Returns:
        Rows of what is told, and the text, in Markdown.
    """
    net, paper = ZOO[name], PAPERS.get(name)
    rows = [("what it is", _is(net))]
    if paper:
        rows.append(("paper", f"[{paper.title}]({paper.address}) ({paper.authors} {paper.year})"))
    shape = ", ".join(map(str, net.input_shape))
    rows.append(("input", f"{_frames(net.frames)} of {net.crop} x {net.crop}: float32 `(clips, {shape})`, channels "
                          "last; preprocessing is that of the weights, or of the training"))  # fmt: skip
    rows += _counts(name, net)
    rows.append(("published accuracy", "; ".join(_accuracies(name)) or "none of a net trained from random weights"))
    own = ", ".join(f"[{entry.tag}](#{_anchor(entry.name)})" for entry in entries() if entry.net == name)
    rows.append(("published weights", own or "none"))
    rows.append(("load", f'`keras_res3d.build_model("{name}")`, `keras-res3d train --net {name} ...`'))
    return rows


def _size(height_and_width: tuple[int, int]) -> str:
    return " x ".join(map(str, height_and_width))


def _frames(count: int) -> str:
    return f"{count} frame{'s' if count > 1 else ''}"


def weights_card(entry: WeightsEntry) -> list[tuple[str, str]]:
    """The card of published weights; arguments and rows as of `net_card`."""
    metrics = ", ".join(f"{name} {value:.1f} %" for name, value in entry.metrics.items())
    address = f"[{entry.filename}]({entry.url})" if entry.url else f"`{entry.filename}`, which has no public address"
    digest = f"`{entry.sha256}`" if entry.sha256 else "none published; that of the first download is kept and enforced"
    limits = [text for mark, text in _LICENCES.items() if mark in entry.licence]
    if entry.contaminated_for:
        limits.append(f"not to be scored on {', '.join(entry.contaminated_for)}, whose test videos they may have seen")
    taken = "every frame" if entry.stride == 1 else f"one frame in {entry.stride}"
    rate = f" of the video at {entry.fps:g} frames/s" if entry.fps else ""
    return [
        ("what it is", f"Weights of [{entry.net}](#{_anchor(entry.net)}) for {entry.classes} classes, the label set "
                       f"`{entry.labels}`"),
        ("trained on", entry.trained_on),
        ("input", f"{_frames(entry.frames)}, {taken}{rate}; {_size(entry.resize)} pixels, cropped to "
                  f"{_size(entry.crop)}; `{entry.preprocessing}`: {preprocessing_text(entry.preprocessing)}"),
        ("published accuracy", f"{metrics}: {entry.metrics_source}" if metrics else "none of this file"),
        ("licence", entry.licence),
        ("original", f"{entry.format}, about {entry.estimated_bytes / 1e6:.0f} MB: {address}"),
        ("SHA-256", digest),
        ("use", f"telling the classes of `{entry.labels}` apart; features; a start for training on other videos"),
        *([("limits", "; ".join(limits))] if limits else []),
        *([("remark", entry.remark)] if entry.remark else []),
        ("load", f'`keras_res3d.build_model("{entry.net}", weights="{entry.tag}")`, '
                 f"`keras-res3d train --weights {entry.name} ...`"),
    ]  # fmt: skip


def _anchor(heading: str) -> str:
    """Where a heading's link leads: as GitHub makes it."""
    return "".join(c for c in heading.lower() if c.isalnum() or c in "-_ ").replace(" ", "-")


def cards_page() -> str:
    """The page: every net, and all weights behind their net, in Markdown."""
    header, rows = zoo_table()
    parts = [HEAD, tables.as_markdown(header, [[f"[{name}](#{_anchor(name)})", *row] for name, *row in rows]) + "\n"]
    for name in ZOO:
        parts.append(f"## {name}\n\n{tables.as_markdown(('net', name), net_card(name))}\n")
        parts += [
            f"### {entry.name}\n\n{tables.as_markdown(('weights', entry.name), weights_card(entry))}\n"
            for entry in entries()
            if entry.net == name
        ]
    return "\n".join(parts)
