"""Extract features of videos: what layers of a trained net give, averaged over each video's clips.

    keras-res3d extract res3d18/sports1m --data videos --layers res5b,pool5,prob --output features
    keras-res3d extract runs/fight --data test.csv --output features --show_predictions
    keras-res3d extract runs/fight --data videos --layers pool5 --output clips --per_clip --overlap 4
    keras-res3d extract runs/fight --data videos --output short --engine bfloat16
    keras-res3d extract runs/fight --data videos --output frames --format parquet
    keras-res3d extract runs/fight --data train.csv --output features --engine ray --ray_address head:6379

MODEL is a folder of keras-res3d train, a .keras file, an export, which gives its output alone, or the name of published
weights. Every clip of every video goes through the net once. The features are divided by their length. In Python,
keras_res3d.read_features reads the folder. A second run computes only what the folder lacks, and several processes may
fill one folder. Videos that cannot be read are listed in bad_videos.csv, the others are computed, and the next run
tries them again; the exit code is 1 only where no video can be read.
"""

from __future__ import annotations

import functools
import sys
import time

from absl import flags

from keras_res3d.commands.common import (
    define_ray_flags,
    define_sampling_flags,
    model_from_flags,
    refused_without_ray,
)
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.data.cluster import PLACES
from keras_res3d.io import reader_threads
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "MODEL --data PATH --output FOLDER"
# What a net computes in.
ENGINES = ("keras", "bfloat16")
FORMATS = ("npz", "parquet")


def define_flags() -> None:
    define_data_flags("Videos", validation=False)
    flags.DEFINE_enum("subset", "all", ["train", "test", "all"], "With --layout, whose list is read: the training "
                      "list, the held-out one, or both.")  # fmt: skip
    flags.DEFINE_bool("unlabelled", False, "Take the videos in the folder --data, and below it, without labels.")
    flags.DEFINE_list("layers", None, "Names of layers, with commas between them; output is the model's own output "
                      "(by default those of res5b, pool5 and prob that the model has).")  # fmt: skip
    flags.DEFINE_string("output", None, "Folder for the features. What it has already is not computed again.")
    flags.DEFINE_enum("format", None, list(FORMATS), "Of the files in --output: npz, or parquet for data frames and "
                      "databases, which needs pyarrow (by default what the folder has, or npz).")  # fmt: skip
    flags.DEFINE_integer("overlap", 0, "Frames of a clip that the next clip has too.", lower_bound=0)
    flags.DEFINE_bool("per_clip", False, "Keep the features of every clip, with its time, and do not average them.")
    flags.DEFINE_bool("normalize", True, "Divide the features by their Euclidean length.")
    flags.DEFINE_bool("show_predictions", False, "Print each video's five best classes, by which wrong preprocessing "
                      "is seen at once.")  # fmt: skip
    flags.DEFINE_list("engine", ["keras", "local"], "The number type that a Keras net computes in: keras for its own, "
                      "or bfloat16; and where: local for this host, or ray for a Ray cluster. One word or both, with a "
                      "comma between them.")  # fmt: skip
    define_ray_flags()
    flags.DEFINE_integer("actors", None, "With --engine ray, copies of the net (by default one for each GPU of the "
                         "cluster, or one where it has none).", lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("batch_size", 16, "Clips that are computed at a time.", lower_bound=1)
    flags.DEFINE_integer("workers", None, "Threads that decode videos, or tasks of the cluster (by default, one for "
                         "each core).", lower_bound=1)  # fmt: skip
    define_sampling_flags("as in training")


def _engines() -> tuple[str, bool]:
    """The number type of the net, and whether a cluster does the work, as the words of --engine say."""
    words, faults = list(FLAGS.engine), []
    number = [word for word in words if word in ENGINES]
    place = [word for word in words if word in PLACES]
    if len(number) > 1 or len(place) > 1 or len(number) + len(place) < len(words):
        faults.append(f"--engine is {','.join(words)}; expected one of {', '.join(ENGINES)}, one of "
                      f"{', '.join(PLACES)}, or one of each with a comma between them")  # fmt: skip
    elif place != ["ray"]:
        faults += refused_without_ray("ray_address", "actors")
    if faults:
        raise ValueError("; ".join(faults))
    return (number or ["keras"])[0], place == ["ray"]


def _data_sets() -> list:
    """The data sets that the flags name."""
    if FLAGS.unlabelled:
        from keras_res3d.data.open import videos_in
        from keras_res3d.tasks.named_videos import unlabelled_videos

        return [unlabelled_videos(videos_in(FLAGS.data), FLAGS.data)]
    wanted = ("train", "test") if FLAGS.layout and FLAGS.subset == "all" else (FLAGS.subset,)
    return [data_from_flags("train" if subset == "all" else subset) for subset in wanted]


def _show(video, done: int, total: int) -> None:
    """A line, or the moving count on a terminal, for a video that is done."""
    if FLAGS.show_predictions and video.error is None:
        print(printable(video.id))
        for name, score in video.top():
            print(f"  {score:7.4f}  {printable(name)}")
    if video.error is not None:
        print(f"keras-res3d extract: {printable(video.error)}", file=sys.stderr)
    if sys.stderr.isatty():
        print(f"\r{done} of {total} videos ", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _summary(report, seconds: float) -> str:
    parts = [f"{report.done} video{'' if report.done == 1 else 's'} in {seconds:.1f} s"]
    if report.before:
        parts.append(f"{report.before} were there already")
    if report.others:
        parts.append(f"{report.others} are being computed by other processes")
    if report.bad:
        parts.append(f"{len(report.bad)} cannot be read (bad_videos.csv)")
    return ", ".join(parts)


def run(args: list[str]) -> int:
    if len(args) != 1:
        raise ValueError(f"expected one model, found {args or 'none'}: keras-res3d extract MODEL --data PATH --output "
                         "FOLDER")  # fmt: skip
    from keras_res3d.inference.model_file import is_published, model_file
    from keras_res3d.tasks.feature_folder import part_format

    # What is wrong with a name or a list is found before Keras is imported, which takes seconds.
    engine, on_cluster = _engines()
    if not on_cluster:
        reader_threads(FLAGS.workers)
    if FLAGS.format:
        part_format(FLAGS.format).check(())
    source = args[0] if is_published(args[0]) else model_file(args[0])
    data_sets = _data_sets()
    classifier = model_from_flags(source)
    from keras_res3d.tasks.extract import Extraction, extract_to_folder
    from keras_res3d.tasks.feature_net import FeatureNet
    from keras_res3d.tasks.named_videos import name_videos, root_of

    sampling = classifier.card.sampling
    net = FeatureNet(classifier, FLAGS.layers, engine, file=source)
    kind = Extraction
    if on_cluster:
        from keras_res3d.tasks.extract_on_cluster import ClusterExtraction

        kind = functools.partial(ClusterExtraction, address=FLAGS.ray_address, actors=FLAGS.actors)
    extraction = kind(net, FLAGS.overlap, FLAGS.per_clip, FLAGS.normalize, FLAGS.batch_size, FLAGS.workers)
    widths = ", ".join(f"{name} {width}" for name, width in net.widths.items())
    total = sum(map(len, data_sets))
    print(f"{printable(net.card.net)}: {printable(widths)}; {total} videos, clips of {sampling.frames} frames every "
          f"{extraction.step}")  # fmt: skip
    for data_set in data_sets:
        names = name_videos(data_set, FLAGS.data if FLAGS.layout else root_of(FLAGS.data))
        start = time.monotonic()
        report = extract_to_folder(extraction, data_set, names, FLAGS.output, _show, FLAGS.format)
        print(_summary(report, time.monotonic() - start))
    print(f"wrote {printable(FLAGS.output)}")
    return 0
