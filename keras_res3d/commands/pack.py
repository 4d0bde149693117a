"""Turn videos into shards of JPEG frames, which training reads several times as fast. Give the folder as --data.

    keras-res3d pack --data train.csv --output shards/train
    keras-res3d pack --data UCF-101 --layout ucf101 --lists ucfTrainTestlist --subset test --output shards/test1

With --engine ray a Ray cluster decodes, whose hosts see the same files; docs/data_hosts.md has more on it. The shards
are the same.

The folder gets TFRecord files, an index beside each, and manifest.json with records, bytes, SHA-256 and the faults of
each video. A run that was cut short goes on where it stopped when the same command is given again. Videos that cannot
be decoded are left out and named, and the exit code is then 1.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable

from absl import flags

from keras_res3d.commands.common import define_ray_flags, import_keras_quietly, refused_without_ray
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.data.cluster import PLACES
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "--data PATH --output FOLDER"


def define_flags() -> None:
    define_data_flags("Videos to pack", validation=False)
    flags.DEFINE_enum("subset", "train", ["train", "test"], "With --layout, which of its lists to pack.")
    flags.DEFINE_string("output", None, "Folder to write the shards into.")
    flags.DEFINE_integer("quality", 90, "JPEG quality, from 1 to 95.", lower_bound=1, upper_bound=95)
    flags.DEFINE_string("resize", "128x171", "Height x width that frames are resized to; the aspect ratio is not kept.")
    flags.DEFINE_integer("shard_mb", 128, "Size in MB at which a shard ends.", lower_bound=1)
    flags.DEFINE_integer("workers", None, "Processes that decode at a time (one per core by default).", lower_bound=1)
    flags.DEFINE_enum("engine", "local", list(PLACES), "Where videos are decoded: on this host, or on a Ray "
                      "cluster.")  # fmt: skip
    define_ray_flags()


def _progress() -> Callable[[int, int], None]:
    """A function that shows how many of all videos are packed, and the time that is left."""
    start, first = time.monotonic(), []

    def show(done: int, total: int) -> None:
        first.append(done)
        took = time.monotonic() - start
        left = took / (done - first[0]) * (total - done) if done > first[0] else 0
        if sys.stderr.isatty() or done == total:
            text = f"\rpacked {done} of {total} videos, {took:.0f} s, {left:.0f} s to go "
            print(text, end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


def run(args: list[str]) -> int:
    from keras_res3d.data.pack import MIN_SIDE, pack
    from keras_res3d.data.sources.shards import check_resize

    size = re.fullmatch(r"(\d+)x(\d+)", FLAGS.resize)
    if not size:
        raise ValueError(f"--resize is {FLAGS.resize!r}; expected HEIGHTxWIDTH, such as 128x171")
    if FLAGS.engine != "ray" and (faults := refused_without_ray("ray_address")):
        raise ValueError("; ".join(faults))
    resize = int(size[1]), int(size[2])
    check_resize(resize, MIN_SIDE)
    data = data_from_flags(FLAGS.subset)
    output = printable(FLAGS.output)
    print(f"packing {len(data)} videos of {len(data.classes)} classes into {output}: {resize[0]} x {resize[1]}, "
          f"quality {FLAGS.quality}")  # fmt: skip
    import_keras_quietly()
    from keras_res3d.data.faults import Fault, shown

    where = {"engine": FLAGS.engine, "ray_address": FLAGS.ray_address}
    manifest = pack(
        data, FLAGS.output, resize, FLAGS.quality, FLAGS.shard_mb * 2**20, FLAGS.workers, _progress(), **where
    )
    damaged = [video for shard in manifest["shards"] for video in shard["videos"] if video["faults"]]
    sentences = [Fault(f"left out: {video['name']}: {video['fault']}", "left out") for video in manifest["left_out"]]
    sentences += [Fault(f"damaged: {video['name']}: {video.get('fault', '')} ({video['faults']} faults)", "damaged")
                  for video in damaged]  # fmt: skip
    for sentence in shown(sentences):
        print(printable(sentence))
    print(f"{manifest['records']} videos, {manifest['frames']} frames, {manifest['bytes'] / 2**20:.1f} MB in "
          f"{len(manifest['shards'])} shards; {len(damaged)} damaged, {len(manifest['left_out'])} left out\n"
          f"wrote {output}/manifest.json; keras-res3d train --data {output} reads it")  # fmt: skip
    return int(bool(manifest["left_out"]))
