"""List the nets: input, parameters and GMACs of each, and the paper's figures beside them.

    keras-res3d models                              every net, one line each
    keras-res3d models mc3                          one net, group by group
    keras-res3d models mc3 sr18                     several nets, one table each
    keras-res3d models res3d18 --frames 16          a net at another clip length
    keras-res3d models sr18 --target_params 5e6     a net at the width nearest to a budget
    keras-res3d models --cards models.md            a page with a card of every net and of all published weights
"""

from __future__ import annotations

from dataclasses import replace

from absl import flags

from keras_res3d import tables
from keras_res3d.commands.outputs import check_output
from keras_res3d.io import write_atomically
from keras_res3d.nets.counts import with_budget
from keras_res3d.nets.zoo import ALIASES
from keras_res3d.reports import model_cards, zoo

FLAGS = flags.FLAGS
USAGE = "[NET...]"


def define_flags() -> None:
    flags.DEFINE_integer("frames", None, "Frames of the clip (the net's own by default).", lower_bound=1)
    flags.DEFINE_integer("crop", None, "Height and width of the clip (the net's own by default).", lower_bound=1)
    flags.DEFINE_integer("classes", None, "Outputs of the classifier (the net's own by default).", lower_bound=1)
    flags.DEFINE_integer("width", None, "Channels of the first group (the net's own by default).", lower_bound=1)
    flags.DEFINE_float("target_params", None, "Number of parameters; the width that comes nearest to it is found.")
    flags.DEFINE_bool("markdown", False, "Print the tables as Markdown.")
    flags.DEFINE_string("cards", None, "File for a page in Markdown: a card of every net and of all published weights.")


def _net_text(name: str, show) -> str:
    """One net's heading and its table, as the flags change it."""
    net = with_budget(name, FLAGS.width, FLAGS.target_params, FLAGS.classes)
    net = replace(net, frames=FLAGS.frames or net.frames, crop=FLAGS.crop or net.crop)
    classes = FLAGS.classes or net.classes
    table = show(*zoo.net_table(net, classes))
    return f"{net.name}: input {zoo.size_text(net.input_shape)}, width {net.width}, {classes} classes\n\n{table}"


def _write_cards(path: str, args: list[str]) -> int:
    if args:
        raise ValueError(f"--cards writes the cards of every net; leave {' '.join(args)} out")
    check_output("cards", args, (".md", ".markdown"))
    write_atomically(path, model_cards.cards_page())
    print(f"wrote {tables.printable(path)}")
    return 0


def run(args: list[str]) -> int:
    show = tables.as_markdown if FLAGS.markdown else tables.as_text
    if FLAGS.cards is not None:
        return _write_cards(FLAGS.cards, args)
    if args:
        # All of them are looked up before the first is shown, so that a mistyped name shows nothing else.
        print("\n\n".join([_net_text(name, show) for name in args]))
        return 0
    given = [name for name in ("frames", "crop", "classes", "width", "target_params") if FLAGS[name].present]
    if given:
        raise ValueError(f"--{given[0]} needs a net: keras-res3d models NET --{given[0]} ...")
    print(show(*zoo.zoo_table()))
    print(
        "\nParameters and MACs are counted on the released graph. The live ones leave out kernel taps that meet nothing"
        "\nbut temporal zero padding. * marks a published figure that differs from the count. Aliases: "
        + ", ".join(f"{alias} = {name}" for alias, name in ALIASES.items())
    )
    return 0
