"""Draw a net, the filters of its first convolution, or where it looks in a video.

    keras-res3d figures architecture mc3 2.5d
    keras-res3d figures filters runs/3d runs/2d --output figures
    keras-res3d figures saliency runs/mine video.mp4 --layer res4b --class fight

architecture writes NET.svg for each net of the zoo: filled boxes are convolutions that reach over time. filters writes,
for each model, a picture with the temporal slices of every filter side by side, an animation of them, and a line of
filters.csv for each filter: its share of energy that changes in time. Of a 2D and a 3D model it also writes which 3D
filter matches each 2D filter best. saliency writes an animation of the video's clips with Grad-CAM beside them, as GIF
and as MP4.
"""

from __future__ import annotations

import csv
import io
import pathlib

from absl import flags

from keras_res3d.commands.outputs import check_output
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "FIGURE NET..."


def define_flags() -> None:
    flags.DEFINE_string("output", "figures", "Folder for the pictures. It is made where it is missing.")
    flags.DEFINE_float("target_params", None, "architecture: draw the net at the width nearest to this budget.")
    flags.DEFINE_integer("frames", None, "architecture: frames of the clip (the net's own by default).", lower_bound=1)
    flags.DEFINE_integer("crop", None, "architecture: height and width of the clip (the net's own by default).",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_string("layer", None, "saliency: name of the layer (the last one with a map by default).")
    flags.DEFINE_string("class", None, "saliency: name or number of the class (the best one by default).")
    flags.DEFINE_integer("clips", 1, "saliency: evenly spread clips that are shown one after another.", lower_bound=1)


def _architecture(words: list[str]) -> list[pathlib.Path]:
    from dataclasses import replace

    from keras_res3d.io import write_atomically
    from keras_res3d.nets.counts import with_budget
    from keras_res3d.reports.net_drawing import architecture_svg

    nets = [with_budget(word, target_params=FLAGS.target_params) for word in words]
    written = []
    for net in nets:
        net = replace(net, frames=FLAGS.frames or net.frames, crop=FLAGS.crop or net.crop)
        written.append(pathlib.Path(FLAGS.output) / f"{net.name}.svg")
        write_atomically(written[-1], architecture_svg(net))
    return written


def _filters(words: list[str]) -> list[pathlib.Path]:
    from keras_res3d.commands.common import import_keras_quietly

    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model
    from keras_res3d.io import output_paths, write_atomically
    from keras_res3d.reports import filters as drawn

    kernels = [drawn.first_filters(load_model(word)) for word in words]
    folder, written, rows = pathlib.Path(FLAGS.output), [], []
    for word, kernel, path in zip(words, kernels, output_paths(words, folder, ".png"), strict=True):
        path = path.with_name(f"filters_{path.name}")
        written += [drawn.save_picture(drawn.filter_sheet(kernel), path),
                    drawn.save_gif(drawn.moving_sheet(kernel), path.with_suffix(".gif"))]  # fmt: skip
        share = drawn.temporal_share(kernel)
        rows += [(word, number, f"{value:.6f}") for number, value in enumerate(share)]
        print(f"{printable(word)}: {len(kernel)} filters of {'x'.join(map(str, kernel.shape[1:4]))}; "
              f"{share.mean():.1%} of their energy changes in time, from {share.min():.1%} to {share.max():.1%}")
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("model", "filter", "temporal_share"), *rows])
    write_atomically(folder / "filters.csv", text.getvalue())
    return [*written, folder / "filters.csv", *_compared(kernels, folder)]


def _compared(kernels: list, folder: pathlib.Path) -> list[pathlib.Path]:
    """Pictures of a 2D and a 3D net together, where two models are given and one of them is 2D."""
    from keras_res3d.io import write_atomically
    from keras_res3d.reports import filters as drawn

    if len(kernels) != 2 or sorted(kernel.shape[1] > 1 for kernel in kernels) != [False, True]:
        return []
    flat, deep = sorted(kernels, key=lambda kernel: kernel.shape[1])
    text = io.StringIO(newline="")
    rows = [(row, *match) for row, match in enumerate(drawn.best_matches(flat, deep))]
    csv.writer(text, lineterminator="\n").writerows([("filter_2d", "filter_3d", "slice", "correlation"), *rows])
    write_atomically(folder / "matches.csv", text.getvalue())
    both = drawn.side_by_side([drawn.filter_sheet(flat), drawn.filter_sheet(deep)])
    return [
        drawn.save_picture(both, folder / "filters_2d_3d.png"),
        drawn.save_picture(drawn.match_sheet(flat, deep), folder / "matches.png"),
        folder / "matches.csv",
    ]


def _saliency(words: list[str]) -> list[pathlib.Path]:
    from keras_res3d.commands.common import import_keras_quietly, require_tensorflow

    if len(words) < 2:
        raise ValueError("saliency is called without a video; expected MODEL VIDEO...")
    require_tensorflow("keras-res3d figures saliency")
    from keras_res3d.io import output_paths

    paths = [path.with_name(f"saliency_{path.name}") for path in output_paths(words[1:], FLAGS.output, ".gif")]
    for path in (each.with_suffix(suffix) for each in paths for suffix in (".gif", ".mp4")):
        check_output("output", words, path=path)
    import_keras_quietly()
    from keras_res3d.inference.classifier import load_model
    from keras_res3d.reports.saliency import saliency

    model, written = load_model(words[0]), []
    for video, path in zip(words[1:], paths, strict=True):
        found = saliency(model, video, layer=FLAGS.layer, class_name=FLAGS["class"].value, clips=FLAGS.clips)
        print(f"{printable(video)}: {printable(found.class_name)}, score {found.score:.3f}")
        written += [found.save(path), found.save(path.with_suffix(".mp4"))]
    return written


FIGURES = {"architecture": _architecture, "filters": _filters, "saliency": _saliency}


def run(args: list[str]) -> int:
    if args[0] not in FIGURES:
        raise ValueError(f"the figure is {args[0]}; expected {', '.join(FIGURES)}")
    from keras_res3d.io import only_one

    with only_one(pathlib.Path(FLAGS.output) / "figures", "draws into", FLAGS.output):
        for path in FIGURES[args[0]](args[1:]):
            print(f"wrote {printable(path)}")
    return 0
