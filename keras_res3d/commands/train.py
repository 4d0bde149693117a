"""Train a net on your videos.

    keras-res3d train --data train.csv --validation test.csv --net sr18 --output runs/fight
    keras-res3d train --layout ucf101 --data UCF-101 --lists ucfTrainTestlist --split 1 --validation UCF-101 \\
        --recipe ucf101_search --net sr18 --output runs/sr18
    keras-res3d train --data motion --net mc3 --target_params 5e5 --crop 32 --output runs/motion

The output folder gets model.keras (after every epoch), best.keras (by the validation videos), each with a .json that
holds class names, sampling and all settings, log.csv and curves.png. Interrupted, the same command goes on where the
last checkpoint was written.
"""

from __future__ import annotations

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, fresh_folder, import_keras_quietly, sampling_from_flags
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.commands.recipe_flags import define_recipe_flags, options_from_flags

FLAGS = flags.FLAGS
USAGE = "--data PATH --output FOLDER"


def define_flags():
    define_data_flags("Training videos")
    flags.DEFINE_string("net", "sr18", "A net of the zoo (keras-res3d models).")
    flags.DEFINE_string("output", None, "Folder for the model, its card and the log.", required=True)
    flags.DEFINE_string("weights", None, "Start from these weights; a classifier of other size is left out.")
    flags.DEFINE_integer("width", None, "Channels of the first group (the net's own by default).", lower_bound=1)
    flags.DEFINE_float("target_params", None, "Solve for the width nearest to this many parameters.")
    define_sampling_flags("the recipe's or the net's own")
    flags.DEFINE_enum("preprocessing", "res3d", ["res3d", "torchvision"], "How pixels become the net's input.")
    define_recipe_flags()
    flags.DEFINE_bool("overwrite", False, "Start again in a folder that holds a run already.")


def _output_folder():
    """The folder, and whether it holds an unfinished run to go on with."""
    from keras_res3d.training.checkpoint import FILE

    folder = fresh_folder(FLAGS.output, overwrite=True)
    unfinished = (folder / FILE).exists() and not FLAGS.overwrite
    return fresh_folder(folder, FLAGS.overwrite or unfinished), unfinished


def _plan(net, data, sampling, options) -> str:
    """What is about to happen, in three lines."""
    from keras_res3d.nets.counts import count_params

    classes, shape = len(data.classes), (sampling.frames, *sampling.crop, 3)
    steps = options.total_steps(len(data))
    return (
        f"{net.name}, width {net.width}: {count_params(net, classes, shape):,} parameters "
        f"({count_params(net, classes, shape, live=True):,} live at {sampling.frames} frames)\n"
        f"{len(data)} videos of {classes} classes from {FLAGS.data}; {sampling.frames} frames of "
        f"{sampling.crop[0]} x {sampling.crop[1]}, every {sampling.stride}. frame\n"
        f"recipe {options.recipe}: {steps:,} steps of {options.batch_size} clips, "
        f"{-(-steps // options.steps_per_epoch(len(data))):,} epochs; {options.optimizer}, {options.schedule} from "
        f"{options.learning_rate:g}, {options.precision}, seed {options.seed}"
    )


def run(args: list[str]) -> int:
    if args:
        raise ValueError(f"unexpected arguments {' '.join(args)}; train takes flags alone (--data PATH)")
    import_keras_quietly()
    from keras_res3d.nets.counts import with_budget
    from keras_res3d.reports import plots
    from keras_res3d.training.fit import prepare_net, starting_card, train

    output, unfinished = _output_folder()
    options = options_from_flags()
    data = data_from_flags("train")
    validation = data_from_flags("validation", data.classes)
    net = with_budget(FLAGS.net, FLAGS.width, FLAGS.target_params, len(data.classes))
    sampling = sampling_from_flags(options.sampling(net.frames, net.crop, FLAGS.preprocessing))
    print(_plan(net, data, sampling, options))
    model = prepare_net(net, sampling, len(data.classes), options, len(data), FLAGS.weights)
    card = starting_card(net, FLAGS.weights, data, sampling)
    history = train(model, data, sampling, output, options, validation, card, resume=unfinished)
    plots.save_png(plots.learning_curves({net.name: history}, 1 / len(data.classes)), output / "curves.png")
    last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
    best = ", best.keras" if validation else ""
    print(f"{last}\nwrote {output}/model.keras, model.json, log.csv, curves.png{best}")
    return 0
