"""Find the videos of a folder of features that are most like a given one, and show them on a page.

    keras-res3d search-videos features/mine videos/fight/3.mp4
    keras-res3d search-videos features/mine fight/3.mp4 --k 24 --output like.html
    keras-res3d search-videos features/mine new.mp4 --model runs/mine

FEATURES is a folder of keras-res3d extract. QUERY is one of its videos, by its path or the end of one, or the path of a
new video, whose features are extracted by --model in the same way. Features of
single clips (extract --per_clip) find a video by its best clip, and the page shows that clip.
"""

from __future__ import annotations

import os

from absl import flags

from keras_res3d.commands.common import import_keras_quietly
from keras_res3d.commands.outputs import check_output
from keras_res3d.tables import as_json, as_text, printable

FLAGS = flags.FLAGS
USAGE = "FEATURES QUERY"


def define_flags() -> None:
    flags.DEFINE_integer("k", 12, "The number of videos to find.", lower_bound=1)
    flags.DEFINE_string("layer", None, "The layer whose features are compared (the only one, or pool5 by default).")
    flags.DEFINE_string("model", None, "The model that the features are of, which is needed for a new video alone.")
    flags.DEFINE_string("output", None, "The HTML page to write, with an animated thumbnail of each video.")
    flags.DEFINE_string("root", None, "The folder that the videos' paths are relative to (the current one by default).")
    flags.DEFINE_bool("json", False, "Print JSON in place of a table.")


def _span(seconds: tuple[float, float]) -> str:
    begin, end = seconds
    return "" if begin != begin else f"{begin:.1f} to {end:.1f} s"


def _lines(hit) -> list[str]:
    return [line for line in (hit.label or "", f"cosine {hit.score:.3f}", _span(hit.seconds)) if line]


def _page(index, name: str | None, query: str, hits) -> str:
    """The page of what was found; a query that is not of the features has no id, and its path is as given."""
    from keras_res3d.reports.search import search_page, thumbnail

    root = FLAGS.root or ""
    lead = f"The {len(hits)} nearest of {len(index)} videos, by the cosine of {index.layer}."
    found = [thumbnail(os.path.join(root, hit.id), hit.id, _lines(hit), hit.seconds) for hit in hits]
    shown = thumbnail(query, query) if name is None else thumbnail(os.path.join(root, name), name)
    return search_page(shown, found, lead)


def run(args: list[str]) -> int:
    from keras_res3d.io import write_atomically
    from keras_res3d.tasks.search import VideoIndex

    check_output("output", args, (".html", ".htm"))
    index = VideoIndex(args[0], FLAGS.layer)
    if FLAGS.model and index.find(args[1]) is None:
        import_keras_quietly()
    vectors, name = index.query(args[1], FLAGS.model)
    hits = index.search(vectors, FLAGS.k, without=name)
    if FLAGS.json:
        rows = [{"id": hit.id, "label": hit.label, "group": hit.group, "score": hit.score,
                 "seconds": [None if time != time else time for time in hit.seconds]} for hit in hits]  # fmt: skip
        print(as_json(rows), end="")
    else:
        rows = [[str(rank), f"{hit.score:.3f}", hit.label or "-", _span(hit.seconds) or "-", hit.id]
                for rank, hit in enumerate(hits, 1)]  # fmt: skip
        print(as_text(["rank", "cosine", "label", "seconds", "video"], rows))
    if FLAGS.output:
        write_atomically(FLAGS.output, _page(index, name, args[1], hits))
        if not FLAGS.json:
            print(f"wrote {printable(FLAGS.output)}")
    return 0
