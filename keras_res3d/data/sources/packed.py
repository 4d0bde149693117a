"""Clips from packed shards: only the frames that a clip needs are read, each straight from its place in the file."""

import os
import threading

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from keras_res3d.data.clips import at_frame_rate
from keras_res3d.data.lists import DataError, Example, Row, make_listing
from keras_res3d.data.sources.base import FrameSource
from keras_res3d.data.sources.shards import PackedVideoError, Shard, quick_faults, read_manifest

__all__ = ["PackedDataSet", "PackedVideo", "PackedVideoError", "read_packed"]


class _Decoder(threading.local):
    """One thread's JPEG decoder and scaler. FFmpeg's decodes a whole frame in two thirds of the time that libjpeg takes
    for its crop alone, and scales in the same step as it converts.
    """

    def __init__(self):
        self._context, self._reformatter = None, VideoReformatter()

    def decode(self, data, stored, size):
        """A JPEG of (height, width) `stored`, as uint8 RGB of `size`. Raises ValueError on anything else."""
        if self._context is None:
            self._context = av.CodecContext.create("mjpeg", "r")
            self._context.thread_count = 1
            self._context.options = {"err_detect": "explode", "max_pixels": str(4 * stored[0] * stored[1] + 65536)}
        try:
            frames = self._context.decode(av.Packet(data))
        except (av.error.FFmpegError, ValueError) as error:
            self._context = None
            raise ValueError(str(error)) from error
        if len(frames) != 1 or frames[0].is_corrupt or (frames[0].height, frames[0].width) != stored:
            self._context = None
            raise ValueError(f"expected one whole JPEG of {stored[0]} x {stored[1]}")
        return self._reformatter.reformat(frames[0], size[1], size[0], "rgb24", threads=1,
                                          interpolation=Interpolation.FAST_BILINEAR).to_ndarray()


_decoder = _Decoder()


class PackedVideo(FrameSource):
    """One video of a shard, with the interface of `decode.Video`: num_frames, seconds, frame_rate, frames, clips.

    shard: a `shards.Shard`. number: of the record in it. stored: (height, width) of its frames. fps: as in
    `decode.Video`. Raises PackedVideoError where the shard is not what its manifest says, or a frame cannot be decoded.
    """

    def __init__(self, shard, number, stored, fps=None):
        self._file = None
        self.path, self._stored, self.faults = f"{shard.path}: {shard.entry['videos'][number]['name']}", stored, 0
        index = shard.index()
        part = slice(index.first[number], index.first[number + 1])
        self._offsets, self._sizes, times = index.offsets[part], index.sizes[part], index.seconds[part]
        self._ticks = None if fps is None else at_frame_rate(times, fps)
        self.seconds = times if fps is None else times[0] + np.arange(len(self._ticks)) / fps
        self.num_frames = len(self.seconds)
        lasts = times[-1] - times[0]
        self.frame_rate = float(fps or ((len(times) - 1) / lasts if lasts > 0 else 25))
        self._file = os.open(shard.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()

    def close(self):
        """Let go of the shard."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _frame(self, index, size):
        number = index if self._ticks is None else self._ticks[index]
        data = os.pread(self._file, int(self._sizes[number]), int(self._offsets[number]))
        try:
            return _decoder.decode(data, self._stored, tuple(size or self._stored))
        except ValueError as error:
            raise PackedVideoError(f"{self.path}: frame {number} cannot be decoded ({error}); pack the videos "
                               "again") from error


class PackedDataSet:
    """Packed shards, with the interface of `lists.DataSet`. classes: names in the order of the labels, or None."""

    def __init__(self, folder, classes=None):
        self.name, manifest = str(folder), read_manifest(folder)
        faults = quick_faults(folder, manifest)
        self._resize = tuple(manifest["resize"])
        self.mirror_safe = bool(manifest.get("mirror_safe", True))
        self._shards = [Shard(folder, entry) for entry in manifest["shards"]]
        # (shard, record in it) of each example.
        self._places = [(shard, number) for shard in self._shards for number in range(len(shard.entry["videos"]))]
        try:
            rows = [Row("", video["name"], video["label"], video.get("group"))
                    for shard in self._shards for video in shard.entry["videos"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(self.name, [f"its manifest's videos lack {error}; pack the videos again"]) from error
        listing = make_listing(self.name, rows, faults, classes, manifest["classes"])
        if listing.faults:
            raise DataError(self.name, listing.faults)
        self.classes, numbers = listing.classes, {name: number for number, name in enumerate(listing.classes)}
        self.examples = tuple(Example(row.path, numbers[row.label], row.group) for row in rows)

    def __len__(self):
        return len(self.examples)

    def open(self, i, fps=None, strict=False):
        """The i-th video; fps as in `lists.DataSet.open`. Damage is always an error. Raises PackedVideoError."""
        shard, number = self._places[i]
        return PackedVideo(shard, number, self._resize, fps)

    def verify(self):
        """Read every shard and compare it with the manifest. Returns what is wrong, a list of sentences."""
        faults = []
        for shard in self._shards:
            try:
                shard.index()
            except PackedVideoError as error:
                faults.append(str(error))
        return faults


def read_packed(folder, classes=None):
    """The data set of a folder that `keras-res3d pack` wrote; arguments and errors as in `lists.read_data_set`.

    Shards are compared with the manifest by size here, by SHA-256 once per process before their first frame is used.
    """
    return PackedDataSet(folder, classes)
