"""Resizing, JPEG and PNG by OpenCV: pixels are scaled here alone, so that every kind of video gives the same clip.

The released nets were trained on frames that OpenCV's `resize` made, so theirs are the pixels to give them. OpenCV is
loaded at the first use. Frames of a clip's size are resized in the calling thread alone: OpenCV divides the work over
threads of its own only where the result has more than about 98,000 pixels.
"""

from __future__ import annotations

import operator

import numpy as np

MAX_PIXELS = 7680 * 4320
# JPEG's markers: those that hold the picture's size; those that stand alone, without a length; those after which no
# size can follow.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_LAST_MARKERS = frozenset({0xD8, 0xD9, 0xDA})
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def resize(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame at another size: bilinear without anti-aliasing, the aspect ratio not kept.

    Args:
        frame: uint8 RGB `(height, width, 3)`.
        size: (height, width) in pixels.

    Returns:
        uint8 RGB of that size; the frame itself if it has that size already.
    """
    height, width = map(operator.index, size)
    if frame.shape[:2] == (height, width):
        return frame
    import cv2

    return cv2.resize(np.ascontiguousarray(frame), (width, height), interpolation=cv2.INTER_LINEAR)


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width that a JPEG's header promises, found as libjpeg finds them, nothing decoded.

    Raises:
        ValueError: no JPEG, or one that ends before its size.
    """
    if data[:2] != b"\xff\xd8":
        raise ValueError("it is not a JPEG")
    place = 2
    while place < len(data):
        place = data.find(b"\xff", place)
        if place < 0:
            break
        while data[place : place + 1] == b"\xff":
            place += 1
        marker = int.from_bytes(data[place : place + 1])
        place += 1
        if marker in _LAST_MARKERS:
            break
        if marker in _FRAME_MARKERS and len(data) >= place + 7:
            return int.from_bytes(data[place + 3 : place + 5]), int.from_bytes(data[place + 5 : place + 7])
        if marker and marker not in _BARE_MARKERS:
            place += max(2, int.from_bytes(data[place : place + 2]))
    raise ValueError("it ends before it tells its size")


def png_size(data: bytes) -> tuple[int, int]:
    """Height and width that a PNG's header promises, nothing decoded.

    Raises:
        ValueError: no PNG, or one that ends before its size.
    """
    if data[:8] != _PNG_SIGNATURE:
        raise ValueError("it is not a PNG")
    if len(data) < 24 or data[12:16] != b"IHDR":
        raise ValueError("it ends before it tells its size")
    return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])


def picture_size(data: bytes) -> tuple[int, int]:
    """Height and width that the header of a JPEG or a PNG promises, nothing decoded.

    Raises:
        ValueError: neither, or one that ends before its size.
    """
    if data[:8] == _PNG_SIGNATURE:
        return png_size(data)
    if data[:2] != b"\xff\xd8":
        raise ValueError("it is neither a JPEG nor a PNG")
    return jpeg_size(data)


def decode_jpeg(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of a JPEG, as stored: an orientation in its metadata is not applied.

    Args:
        data: the file's bytes.
        max_pixels: a larger picture is refused before anything is decoded.

    Returns:
        uint8 RGB `(height, width, 3)`, for grey pictures too.

    Raises:
        ValueError: no JPEG, one that is cut short or too large.
    """
    return _decoded(data, jpeg_size(data), max_pixels)


def decode_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of a JPEG, as of `decode_jpeg`, or of a PNG; its first bytes tell which it is.

    A PNG's alpha is left out: transparent pixels have the colour that is stored under them. Of 16 bits the upper 8
    count. Palettes are looked up, and profiles and gamma are not applied.

    Args:
        data: the file's bytes.
        max_pixels: a larger picture is refused before anything is decoded.

    Returns:
        uint8 RGB `(height, width, 3)`, for grey pictures too.

    Raises:
        ValueError: neither a JPEG nor a PNG, one that is cut short, damaged or too large.
    """
    return _decoded(data, picture_size(data), max_pixels)


def _decoded(data: bytes, size: tuple[int, int], max_pixels: int) -> np.ndarray:
    import cv2

    height, width = size
    if not 0 < height * width <= max_pixels:
        raise ValueError(f"it is {width} x {height}; expected 1 to {max_pixels} pixels")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError(error.err) from error
    if pixels is None or pixels.shape != (height, width, 3):
        raise ValueError("it is damaged or cut short")
    return pixels


def encode_jpeg(frame: np.ndarray, quality: int) -> bytes:
    """A frame as JPEG; equal frames give equal bytes.

    Args:
        frame: uint8 RGB `(height, width, 3)`.
        quality: 1 to 100.
    """
    import cv2

    done, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV cannot encode a frame of shape {frame.shape} as JPEG")
    return data.tobytes()
