"""Train a net on your videos.

    keras-res3d train --data train.csv --validation test.csv --net sr18 --output runs/fight
    keras-res3d train --data videos/ --net res3d18 --width 16 --frames 8 --crop 56 --output runs/small
    keras-res3d train --data motion --net mc3 --target_params 5e5 --crop 32 --output runs/motion

--data is a folder of class folders, a CSV file (path,label or path,label,group), or motion, the embedded data set.
The output folder gets model.keras (after every epoch), best.keras (by the validation videos), each with a .json that
holds class names and sampling, and log.csv.
"""

from __future__ import annotations

from absl import flags

from keras_res3d.commands.common import define_sampling_flags, fresh_folder, import_keras_quietly, sampling_from_flags

FLAGS = flags.FLAGS


def define_flags():
    flags.DEFINE_string("data", None, "Training videos: folder of class folders, CSV file, or motion.", required=True)
    flags.DEFINE_string("validation", None, "Videos to score after every epoch, like --data.")
    flags.DEFINE_string("net", "sr18", "A net of the zoo (keras-res3d models).")
    flags.DEFINE_string("output", None, "Folder for the model, its card and the log.", required=True)
    flags.DEFINE_string("weights", None, "Start from these weights; a classifier of other size is left out.")
    flags.DEFINE_integer("width", None, "Channels of the first group (the net's own by default).", lower_bound=1)
    flags.DEFINE_float("target_params", None, "Solve for the width nearest to this many parameters.")
    define_sampling_flags("the net's own")
    flags.DEFINE_enum("preprocessing", "res3d", ["res3d", "torchvision"], "How pixels become the net's input.")
    flags.DEFINE_integer("epochs", 20, "Passes over the data.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 8, "Clips per step.", lower_bound=1)
    flags.DEFINE_float("learning_rate", 0.01, "Highest learning rate; warm-up, then a cosine to 0.")
    flags.DEFINE_float("weight_decay", 5e-5, "Of convolution and classifier kernels alone.")
    flags.DEFINE_integer("seed", 0, "Of weights, order, crops and mirroring.", lower_bound=0)
    flags.DEFINE_bool("mirror", True, "Mirror half of the clips, where the classes allow it.")
    flags.DEFINE_integer("validation_clips", 1, "Clips per validation video.", lower_bound=1)
    flags.DEFINE_bool("overwrite", False, "Write into a folder that holds a model already.")


def run(args: list[str]) -> int:
    import_keras_quietly()
    from keras_res3d.nets.budget import count_params, with_budget
    from keras_res3d.training.fit import TrainingOptions, prepare_net, train
    from keras_res3d.video.clips import for_crop
    from keras_res3d.video.lists import read_data_set

    if args:
        raise ValueError(f"unexpected arguments {' '.join(args)}; train takes flags alone (--data PATH)")
    output = fresh_folder(FLAGS.output, FLAGS.overwrite)
    data = read_data_set(FLAGS.data)
    validation = read_data_set(FLAGS.validation, classes=data.classes) if FLAGS.validation else None
    classes = len(data.classes)
    net = with_budget(FLAGS.net, FLAGS.width, FLAGS.target_params, classes)
    sampling = sampling_from_flags(for_crop(net.frames, 2, net.crop, FLAGS.preprocessing))
    fields = ("epochs", "batch_size", "learning_rate", "weight_decay", "seed", "mirror", "validation_clips")
    options = TrainingOptions(**{name: FLAGS[name].value for name in fields})
    shape = (sampling.frames, *sampling.crop, 3)
    print(
        f"{net.name}, width {net.width}: {count_params(net, classes, shape):,} parameters "
        f"({count_params(net, classes, shape, live=True):,} live at {sampling.frames} frames)\n"
        f"{len(data)} videos of {classes} classes from {FLAGS.data}; {sampling.frames} frames of "
        f"{sampling.crop[0]} x {sampling.crop[1]}, every {sampling.stride}. frame; {options.epochs} epochs"
    )
    model = prepare_net(net, sampling, classes, options, len(data), FLAGS.weights)
    history = train(model, data, sampling, output, options, validation)
    last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
    print(f"{last}\nwrote {output}/model.keras, model.json, log.csv" + (", best.keras" if validation else ""))
    return 0
