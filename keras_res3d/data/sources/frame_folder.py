"""A folder of JPEG frames as a video: the interface of `decode.Video`, only the frames that are asked for read."""

import operator
import os
import re
import warnings

import numpy as np

from keras_res3d.data.clips import at_frame_rate
from keras_res3d.data.lists import FRAME_EXTENSIONS
from keras_res3d.data.sources.base import FrameSource
from keras_res3d.data.sources.container import VideoError

# Frames in a folder carry no times; the public data sets' frames were extracted at about this rate.
FRAME_RATE = 25.0
MAX_PIXELS = 7680 * 4320


def frame_names(folder):
    """Names of a folder's JPEG frames in order: numbers in names count as numbers, so 2.jpg comes before 10.jpg."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries
                 if os.path.splitext(e.name)[1].lower() in FRAME_EXTENSIONS and not e.name.startswith(".")]
    return sorted(names, key=lambda name: [int(part) if part.isdecimal() else part
                                           for part in re.split(r"(\d+)", name, flags=re.ASCII)])


class FrameFolder(FrameSource):
    """A folder of JPEG frames, read as RGB frames and clips. A context manager, though it holds nothing open.

    path: the folder; its .jpg and .jpeg files in the order of their names are the frames. size, max_pixels, strict:
    as in `decode.Video`. frame_rate: frames a second, which the folder cannot tell. fps: None numbers the frames as
    stored; a rate numbers the ticks of that clock. first_frame: where the video begins in the folder, counted from 1.
    frames: how many frames it has from there on; None is all.
    Has `num_frames`, `seconds`, `frame_rate`, `faults` as `decode.Video`. Raises VideoError where there are no frames.
    """

    def __init__(self, path, size=None, max_pixels=MAX_PIXELS, fps=None, strict=False, frame_rate=FRAME_RATE,
                 first_frame=1, frames=None):
        self.path, self.size, self.strict = os.fspath(path), size, strict
        self.faults, self._max_pixels = 0, max_pixels
        if not os.path.isdir(self.path):
            raise VideoError(f"{self.path}: no such folder; expected a folder of JPEG frames")
        names = frame_names(self.path)
        if not names:
            raise VideoError(f"{self.path}: holds no JPEG frames; expected .jpg files, one for each frame")
        if not 1 <= first_frame <= len(names):
            raise VideoError(f"{self.path}: first_frame is {first_frame}; expected 1 to {len(names)}, its frames")
        self._names = names[first_frame - 1:][:frames]
        times = np.arange(len(self._names)) / frame_rate
        self._ticks = None if fps is None else at_frame_rate(times, fps)
        self.seconds = times if fps is None else np.arange(len(self._ticks)) / fps
        self.num_frames, self.frame_rate = len(self.seconds), float(fps or frame_rate)
        self._reformatter = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        """Nothing to let go of."""

    def _frame(self, index, size):
        wanted = index if self._ticks is None else int(self._ticks[index])
        # The last good frame before a bad one stands in for it, else the first good one after it.
        for number in [*range(wanted, -1, -1), *range(wanted + 1, len(self._names))]:
            pixels = self._decoded(number)
            if pixels is not None:
                return self._resized(pixels, size or self.size)
        raise VideoError(f"{self.path}: no frame can be decoded; extract the frames again or take it off the list")

    def _decoded(self, number):
        """One frame's pixels, or None after reporting that it cannot be decoded."""
        from PIL import Image

        file = os.path.join(self.path, self._names[number])
        try:
            with Image.open(file, formats=["JPEG"]) as picture:
                width, height = picture.size
                if width * height > self._max_pixels:
                    raise VideoError(f"{file}: is {width} x {height}; expected at most {self._max_pixels} pixels a "
                                     "frame (max_pixels): raise it if the file is to be trusted")
                return np.asarray(picture.convert("RGB"))
        except VideoError:
            raise
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            self._report(f"{file}: cannot be decoded ({error})")
            return None

    def _resized(self, pixels, size):
        """Resized as `decode.Video` resizes, by FFmpeg's scaler: bilinear, aspect ratio not kept."""
        if size is None or tuple(size) == pixels.shape[:2]:
            return pixels
        import av
        from av.video.reformatter import Interpolation, VideoReformatter

        self._reformatter = self._reformatter or VideoReformatter()
        height, width = map(operator.index, size)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        return self._reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.FAST_BILINEAR,
                                          threads=1).to_ndarray()

    def _report(self, what):
        self.faults += 1
        if self.strict:
            raise VideoError(f"{what}; extract it again, or read it with strict=False")
        if self.faults == 1:
            warnings.warn(f"{what}; a frame beside it stands in for it", stacklevel=2)
