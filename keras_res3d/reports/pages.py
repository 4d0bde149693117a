"""A self-contained HTML page: text, tables, figures and animated clips in one file, no script, no network."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

from keras_res3d.reports.plots import as_svg

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.25rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } th { border-bottom: 2px solid #888; font-weight: 600 }
.row { display: flex; gap: 1rem; align-items: flex-start } .row figure { margin: 0; flex: 1 1 0; min-width: 0 }
.row svg { width: 100%; height: auto }
.clips { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem }
.clips figure { margin: 0 } .clips img { width: 100%; image-rendering: pixelated; border-radius: 4px }
figcaption { font-size: .85rem } .right { color: #00724f } .wrong { color: #b34700 }
.headline { font-size: 1.15rem } .muted { color: #666; font-size: .9rem }
pre { background: #f4f4f4; padding: .8rem 1rem; overflow-x: auto; border-radius: 4px }
"""


def escape(text) -> str:
    return html.escape(str(text))


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(header, rows) -> str:
    """An HTML table; the first column is text, the others are numbers."""

    def cells(tag, row):
        return "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', header)}</tr></thead><tbody>{body}</tbody></table>"


def figures(*drawn) -> str:
    """Matplotlib figures side by side, as SVG."""
    return '<div class="row">' + "".join(f"<figure>{as_svg(figure)}</figure>" for figure in drawn) + "</div>"


def animation(clip: np.ndarray, fps: float = 8, scale: int = 4) -> str:
    """A clip `(frames, height, width, 3)`, uint8, as the data address of a looping WebP, pixels kept sharp."""
    frames = [Image.fromarray(frame).resize((frame.shape[1] * scale, frame.shape[0] * scale), 0) for frame in clip]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=round(1000 / fps), loop=0, lossless=True
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def clip_grid(items) -> str:
    """Animated clips with captions.

    Args:
        items: (clip, truth, predictions) with predictions a list of (who, class name, score).
    """
    cells = []
    for clip, truth, predictions in items:
        lines = ""
        for who, name, share in predictions:
            kind = "right" if name == truth else "wrong"
            lines += f'<br><span class="{kind}">{escape(who)}: {escape(name)} {share:.0%}</span>'
        image = f'<img src="{animation(clip)}" alt="{escape(truth)}">'
        cells.append(f"<figure>{image}<figcaption><b>{escape(truth)}</b>{lines}</figcaption></figure>")
    return f'<div class="clips">{"".join(cells)}</div>'


def commands(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def page(title: str, lead: str, sections: list[tuple[str, str]]) -> str:
    """The whole page.

    Args:
        title: of the page.
        lead: the result in a sentence or two.
        sections: (heading, HTML) in order.
    """
    body = "".join(f"<section><h2>{escape(heading)}</h2>{content}</section>" for heading, content in sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{paragraph(lead, 'headline')}{body}</body></html>\n"
    )
