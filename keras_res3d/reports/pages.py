"""Self-contained HTML pages from templates: text, tables, pictures and animated clips in one file.

A page has no script and takes nothing from the network. Templates lie in `templates/`: a page's own extends
`page.html` and calls the macros of `parts.html`. Every value that a template shows is escaped.
"""

from __future__ import annotations

import base64
import functools
import io
import pathlib
from dataclasses import dataclass

import jinja2
import markupsafe
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from keras_res3d.reports.plots import as_svg
from keras_res3d.tables import printable

TEMPLATES = pathlib.Path(__file__).parent / "templates"


@dataclass(frozen=True)
class ClipShown:
    """A clip of a page's grid, with what nets say of it.

    Attributes:
        clip: `(frames, height, width, 3)`, uint8 RGB.
        truth: name of its class.
        answers: (who, class name, score in 0..1) of each net.
    """

    clip: np.ndarray
    truth: str
    answers: list[tuple[str, str, float]]


def animation(clip: np.ndarray, fps: float = 8, scale: int = 4) -> str:
    """A clip as the data address of a looping, lossless WebP, its pixels kept sharp.

    Args:
        clip: `(frames, height, width, 3)`, uint8 RGB.
        fps: frames shown a second.
        scale: side of the square that each pixel becomes.
    """
    frames = [Image.fromarray(frame).resize((frame.shape[1] * scale, frame.shape[0] * scale), 0) for frame in clip]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0, lossless=True
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def svg(figure: Figure) -> markupsafe.Markup:
    """A matplotlib figure as an SVG element, which the page takes as it is: all its text is drawn as outlines."""
    return markupsafe.Markup(as_svg(figure))


@functools.cache
def _templates() -> jinja2.Environment:
    # A name that a page's values lack is an error, not an empty place on the page.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        # Class names and paths may hold what no page may: control characters, and bytes that are not UTF-8.
        finalize=lambda value: printable(value, lines=True) if type(value) is str else value,
    )  # fmt: skip
    environment.globals.update(svg=svg, animation=animation)
    return environment


def render(template: str, **values) -> str:
    """The page that a template makes of the values.

    Args:
        template: a file in `templates/`, such as "quickstart.html".
        values: what the template names; texts are escaped, figures and `ClipShown` are drawn.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    return _templates().get_template(template).render(**values)
