"""A decoded frame as upright RGB: the colour matrix, the range and the orientation that the file names are undone here.

The rules, and what was measured for them on frames of 320 x 240 (milliseconds of one thread; mean difference from the
formulas in grey levels, and its mean with the sign), chroma interpolated in the formulas:

| pixel format | by tables | fast | accurate |
| --- | --- | --- | --- |
| 4:2:0 and 4:2:2, 8 bit | 0.027 ms, 1.15, -1.15 (chroma repeated) | 0.13 ms, 1.6, -1.5 | 0.20 to 0.24 ms, 0.6, 0.00 |
| 4:4:4, 8 bit | - | 0.12 ms, 2.6, -1.5 | 0.20 ms, 0.25, 0.00 |
| 4:2:0 and 4:2:2, 10 bit | - | 0.13 ms, 1.7, -1.5 | 0.21 to 0.25 ms, 0.6, 0.00 |
| 4:4:4, 10 bit | - | 0.13 ms, 2.6, -1.5 | 0.21 ms, 0.25, 0.00 |

4:2:0 and 4:2:2 of 8 bits go by tables: those are the pixels of OpenCV's reader, dark by one level, that the released
nets were trained on, at an eighth of the time. All other formats, and frames of odd height, which no table converts,
are converted accurately.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from keras_res3d.data.types import PathLike, VideoError
from keras_res3d.tables import printable

# What FFmpeg's scaler converts by tables where the height is even.
_BY_TABLES = frozenset({"yuv420p", "yuvj420p", "yuva420p", "yuv422p", "yuvj422p"})
_TABLES = Interpolation.FAST_BILINEAR
_ACCURATE = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND

# Matrices by their number in ITU-T H.273: those of FFmpeg's scaler (a file that names none, 2, has BT.601's, as in
# FFmpeg and OpenCV), the one that says nothing, and those with names for messages.
_SCALERS = frozenset({1, 2, 4, 5, 6, 7, 9})
_IDENTITY, _RESERVED = 0, 3
_NAMES = {11: "SMPTE ST 2085", 12: "derived from the primaries", 13: "derived from the primaries, constant luminance",
          14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro"}  # fmt: skip
# Transfer functions of HDR.
_HDR = {16: "PQ", 18: "HLG"}
# Display matrices of 0 to 3 counterclockwise quarter turns.
_QUARTER_TURNS = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))


def _identity(green: np.ndarray, blue: np.ndarray, red: np.ndarray) -> tuple[np.ndarray, ...]:
    return red, green, blue


def _ycgco(luma: np.ndarray, cg: np.ndarray, co: np.ndarray) -> tuple[np.ndarray, ...]:
    return luma - cg + co, luma + cg, luma - cg - co


def _constant_luminance(luma: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> tuple[np.ndarray, ...]:
    """BT.2020, table 4: luma is made of linear light, so green follows from the others in linear light."""
    blue = luma + cb * np.where(cb > 0, 1.5816, 1.9404)
    red = luma + cr * np.where(cr > 0, 0.9936, 1.7184)
    green = (_linear(luma) - 0.2627 * _linear(red) - 0.0593 * _linear(blue)) / 0.6780
    green = np.clip(green, 0, 1)
    return red, np.where(green < 0.018, 4.5 * green, 1.099 * green**0.45 - 0.099), blue


def _linear(value: np.ndarray) -> np.ndarray:
    value = np.clip(value, 0, 1)
    return np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))


# Matrices that the scaler refuses: H.273's number, the formula, the limited range's length for the second and third
# plane (219 where they are levels, or differences of whole levels).
_FORMULAS: dict[int, tuple[Callable, int]] = {
    _IDENTITY: (_identity, 219),
    8: (_ycgco, 219),
    10: (_constant_luminance, 224),
}


class Colours:
    """The colours of one video: `rgb` gives a decoded frame as upright RGB.

    The matrix and the range are the frame's own. A transfer function is left as it is, so HDR (PQ, HLG) comes out
    pale, with one warning. A file that calls its matrix reserved, or the identity where chroma is subsampled, is taken
    for BT.601, with one warning.

    Args:
        path: what messages name.
    """

    def __init__(self, path: PathLike):
        self._path, self._reformatter, self._warned = path, VideoReformatter(), set()

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """A decoded frame as uint8 RGB `(height, width, 3)`: rotation and mirroring in its metadata are undone.

        Raises:
            VideoError: its colours cannot be converted; the message names the file.
        """
        if frame.color_trc in _HDR:
            self._warn(f"is HDR ({_HDR[frame.color_trc]}); its brightness is not mapped, so it looks pale: convert it "
                       "to SDR for the colours that nets were trained on")  # fmt: skip
        try:
            return _upright(self._converted(frame), frame)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"{self._path}: its colours cannot be converted to RGB ({error}); convert it, for example "
                             "to H.264 in MP4, or take it off the list") from error  # fmt: skip

    def _converted(self, frame: av.VideoFrame) -> np.ndarray:
        matrix, kind = frame.colorspace, frame.format
        # A matrix says nothing of RGB, of grey and of palettes.
        if matrix in _SCALERS or kind.is_rgb or len(kind.components) < 3:
            return self._scaled(frame, {})
        subsampled = kind.chroma_width(2) == 1 or kind.chroma_height(2) == 1
        if matrix in _FORMULAS and not (matrix == _IDENTITY and subsampled):
            return self._by_formula(frame, *_FORMULAS[matrix])
        if matrix not in (_IDENTITY, _RESERVED):
            raise ValueError(f"its colour matrix is number {matrix} of H.273, {_NAMES.get(matrix, 'which is unknown')}")
        self._warn(f"names colour matrix {matrix} of H.273, which says nothing of {kind.name}; it is taken for BT.601")
        return self._scaled(frame, {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601})

    def _scaled(self, frame: av.VideoFrame, matrix: dict, to: str = "rgb24") -> np.ndarray:
        by_tables = to == "rgb24" and frame.format.name in _BY_TABLES and not frame.height & 1
        flags = _TABLES if by_tables else _ACCURATE
        # threads=1: FFmpeg would start a pool of threads for every frame. Nothing is scaled but the colours.
        return self._reformatter.reformat(frame, format=to, interpolation=flags, threads=1, **matrix).to_ndarray()

    def _by_formula(self, frame: av.VideoFrame, formula: Callable, chroma_range: int) -> np.ndarray:
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        range_, same = ColorRange.JPEG if full else ColorRange.MPEG, Colorspace.ITU601
        planes = self._scaled(frame, {"src_colorspace": same, "dst_colorspace": same, "src_color_range": range_,
                                      "dst_color_range": range_}, "yuv444p")  # fmt: skip
        first, second, third = planes.astype(np.float32)
        start, length, chroma_length = (0, 255, 255) if full else (16, 219, chroma_range)
        middle = start if formula is _identity else 128
        chroma = ((plane - middle) / chroma_length for plane in (second, third))
        levels = formula((first - start) / length, *chroma)
        return np.rint(255 * np.clip(np.stack(levels, axis=-1), 0, 1)).astype(np.uint8)

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(printable(f"{self._path}: {what}"), stacklevel=2)


def _upright(pixels: np.ndarray, frame: av.VideoFrame) -> np.ndarray:
    """The pixels turned and mirrored as the frame's display matrix says, to the nearest of the eight orientations."""
    across_x, down_x, across_y, down_y = matrix = _display_matrix(frame)
    if matrix == _QUARTER_TURNS[0]:
        return pixels
    if abs(across_x) + abs(down_y) < abs(down_x) + abs(across_y):
        # The picture's rows become columns.
        pixels, across_x, down_y = pixels.swapaxes(0, 1), across_y, down_x
    if across_x < 0:
        pixels = pixels[:, ::-1]
    if down_y < 0:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d of a display matrix: the pixel (x, y) is shown at (a x + c y, b x + d y)."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18 knows no EXIF data, which JPEG pictures can have, and then shows none at all, but for the rotation.
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    if matrix is None:
        return _QUARTER_TURNS[0]
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32).tolist()
    return a, b, c, d
