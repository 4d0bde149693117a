"""Train a net on your videos.

    keras-res3d train --data train.csv --validation test.csv --net sr18 --output runs/fight
    keras-res3d train --layout ucf101 --data UCF-101 --lists ucfTrainTestlist --split 1 --validation UCF-101 \\
        --recipe ucf101_search --net sr18 --output runs/sr18
    keras-res3d train --data motion --net mc3 --target_params 5e5 --crop 32 --output runs/motion
    keras-res3d train --data mine.csv --weights runs/sr18 --freeze conv4 --output runs/mine

The output folder gets model.keras after every epoch and, with --validation, best.keras: the model with the best
val_video@1. Beside each lies its card, a .json with class names, sampling and all settings. log.csv has the figures of
every epoch, curves.png draws them. A run that was interrupted goes on from its last checkpoint when you give the same
command again. A video that cannot be read stops the run; with --on_bad_video skip it goes on with a clip of another
video, and lists the bad one in bad_videos.txt.

With --multi_label a video may have several labels (run|jump in the list), or none. The net then gives each class a
probability by itself, and best.keras has the best val_mAP, the mean average precision.
"""

from __future__ import annotations

import os

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, fresh_folder, import_keras_quietly, sampling_from_flags
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.commands.recipe_flags import define_recipe_flags, options_from_flags
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "--data PATH --output FOLDER"


def define_flags() -> None:
    from keras_res3d.data.transform import PREPROCESSING

    define_data_flags("Training videos")
    flags.DEFINE_string(
        "net", None, "A net of the zoo (keras-res3d models lists them). By default the net of --weights, or sr18."
    )
    flags.DEFINE_string("output", None, "Folder that the run writes into. It is made where it is missing.")
    flags.DEFINE_string(
        "weights",
        None,
        "Start from these weights: the folder of a run, a file, or the name of published weights. Net, width, sampling "
        "and preprocessing are theirs unless a flag or the recipe says otherwise. The classifier is new where the "
        "number of classes is another one.",
    )
    flags.DEFINE_integer(
        "width", None, "Channels of the first group. By default those of --weights, or the net's own.", lower_bound=1
    )
    flags.DEFINE_float("target_params", None, "Choose the width whose number of parameters is nearest to this.")
    define_sampling_flags("that of the recipe, else of --weights, else of the net")
    flags.DEFINE_enum(
        "preprocessing",
        None,
        sorted(PREPROCESSING),
        "How pixels become the net's input. By default that of --weights, or res3d.",
    )
    flags.DEFINE_enum(
        "class_weight", None, ["balanced"], "balanced weighs the loss so that every class has the same weight, "
        "however few videos it has. By default every clip has the same weight.",
    )  # fmt: skip
    define_recipe_flags()
    flags.DEFINE_bool(
        "overwrite", False, "Start from the first step even where the folder holds a run, which is then replaced."
    )


def _output_folder() -> tuple[os.PathLike, bool]:
    """The folder, and whether it holds an unfinished run to go on with."""
    from keras_res3d.training.folder import state_of

    folder = fresh_folder(FLAGS.output, overwrite=True)
    state = "nothing" if FLAGS.overwrite else state_of(folder)
    if state in ("finished", "foreign"):
        what = "a finished run" if state == "finished" else "a model, and no record of a run that could go on"
        raise ValueError(f"{folder} holds {what}; choose another --output, or give --overwrite to start again")
    return folder, state == "unfinished"


def _net(classes: int):
    """The architecture that --net, --width, --target_params and --weights mean together."""
    from dataclasses import replace

    from keras_res3d.nets.counts import with_budget
    from keras_res3d.nets.zoo import get_architecture
    from keras_res3d.training.start import net_of_weights

    inherited = net_of_weights(FLAGS.weights)
    net = get_architecture(FLAGS.net or inherited or "sr18")
    if inherited is not None and inherited.name == net.name:
        net = replace(net, width=inherited.width)
    return with_budget(net, FLAGS.width, FLAGS.target_params, classes)


def _plan(net, data, sampling, options) -> str:
    """What is about to happen, in a few lines."""
    from keras_res3d.nets.counts import count_params

    classes, shape = len(data.classes), (sampling.frames, *sampling.crop, 3)
    steps = options.total_steps(len(data))
    epochs = -(-steps // options.steps_per_epoch(len(data)))
    every = "every frame" if sampling.stride == 1 else f"one frame in {sampling.stride}"
    return (
        f"{net.name}, width {net.width}: {count_params(net, classes, shape):,} parameters "
        f"({count_params(net, classes, shape, live=True):,} live at {sampling.frames} frames)\n"
        f"{len(data)} videos of {classes} classes from {printable(FLAGS.data)}; {sampling.frames} frames of "
        f"{sampling.crop[0]} x {sampling.crop[1]}, {every}, preprocessing {sampling.preprocessing}\n"
        f"recipe {options.recipe}: {steps:,} steps of {options.batch_size} clips, "
        f"{epochs:,} {'epoch' if epochs == 1 else 'epochs'}; {options.optimizer}, {options.schedule} from "
        f"{options.learning_rate:g}, {options.precision}, seed {options.seed}"
    )


def run(args: list[str]) -> int:
    if args:
        raise ValueError(f"unexpected arguments {' '.join(args)}; train takes flags alone (--data PATH)")
    import_keras_quietly()
    from keras_res3d.data.types import is_multi_label
    from keras_res3d.reports import plots
    from keras_res3d.training.checks import check_data
    from keras_res3d.training.fit import prepare_net, train
    from keras_res3d.training.folder import BAD_VIDEOS, SKIPPED, bad_videos_of
    from keras_res3d.training.start import card_of_weights, starting_card, starting_sampling

    output, unfinished = _output_folder()
    options = options_from_flags()
    if options.freeze and FLAGS.weights is None:
        raise ValueError(f"--freeze is {options.freeze} without --weights: these groups would keep random weights")
    data = data_from_flags("train")
    validation = data_from_flags("validation", data.classes)
    check_data(data, validation)
    net = _net(len(data.classes))
    before = card_of_weights(net, FLAGS.weights)
    sampling = sampling_from_flags(starting_sampling(net, options, before, FLAGS.preprocessing))
    print(_plan(net, data, sampling, options))
    model = prepare_net(
        net, sampling, len(data.classes), options, len(data), FLAGS.weights, multi_label=is_multi_label(data)
    )
    card = starting_card(net, FLAGS.weights, data, sampling)
    history = train(
        model, data, sampling, output, options, validation, card, unfinished, class_weight=FLAGS.class_weight
    )  # fmt: skip
    chance = None if is_multi_label(data) else 1 / len(data.classes)
    plots.save_png(plots.learning_curves({net.name: history}, chance), output / "curves.png")
    bad = bad_videos_of(output)
    if bad:
        count = "1 bad video was" if len(bad) == 1 else f"{len(bad)} bad videos were"
        print(f"{count} skipped; {printable(output)}/{BAD_VIDEOS} lists them")
    last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
    more = ", best.keras" if validation else ""
    more += f", {SKIPPED}" if (output / SKIPPED).exists() else ""
    print(f"{last}\nwrote {printable(output)}/model.keras, model.json, log.csv, curves.png{more}")
    return 0
