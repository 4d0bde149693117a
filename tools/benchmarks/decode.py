"""Decoding and resizing to 171 x 128, this package's reader against OpenCV's."""

from __future__ import annotations

import importlib.util
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.timing import Result, alternate

SIZE = (128, 171)  # height, width
GENERATED_FRAMES, HEIGHT, WIDTH, FPS, BITS_PER_SECOND = 300, 240, 320, 25, 600_000
CODECS = {"MPEG-4": "mpeg4", "H.264": "libx264"}  # encoders
OURS, OPENCV = "keras_res3d", "OpenCV"


def moving_texture(frames: int, height: int, width: int) -> Iterator[np.ndarray]:
    """Yields uint8 RGB `(height, width, 3)`: a smooth texture that drifts under a little noise, as cameras see."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3)).astype("float32")
    texture = np.kron(coarse, np.ones((16, 16, 1), "float32"))
    for axis in (0, 1):
        texture = sum(np.roll(texture, shift, axis) for shift in range(-6, 7)) / 13
    for number in range(frames):
        top, left = number * 2 % height, number * 3 % width
        noisy = texture[top : top + height, left : left + width] + rng.normal(0, 3, (height, width, 1))
        yield np.clip(noisy, 0, 255).astype("uint8")


def write_video(path, codec: str, frames=GENERATED_FRAMES, height=HEIGHT, width=WIDTH) -> None:
    """Encodes a moving texture with PyAV."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = height, width, "yuv420p", BITS_PER_SECOND
        for pixels in moving_texture(frames, height, width):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def read_ours(path) -> int:
    """Decodes and resizes every frame. Returns how many there were."""
    from keras_res3d import Video

    with Video(path, size=SIZE) as video:
        return sum(1 for _ in video.frames(range(video.num_frames)))


def read_opencv(path) -> int:
    """Does the same by cv2.VideoCapture, in RGB too."""
    import cv2

    capture, count = cv2.VideoCapture(str(path)), 0
    while True:
        found, frame = capture.read()
        if not found:
            capture.release()
            return count
        cv2.cvtColor(cv2.resize(frame, SIZE[::-1]), cv2.COLOR_BGR2RGB)
        count += 1


def _readers() -> dict[str, Callable]:
    return {OURS: read_ours, **({OPENCV: read_opencv} if importlib.util.find_spec("cv2") else {})}


def _compare(title: str, paths, options) -> Iterator[Result]:
    """Yields the results of one file after the other, then as many files at a time as there are threads."""
    readers = _readers()
    counts = {name: sum(map(reader, paths)) for name, reader in readers.items()}
    if len(set(counts.values())) > 1:
        title += f" [frames differ: {counts}]"
    frames = counts[OURS]
    serial = {name: lambda reader=reader: list(map(reader, paths)) for name, reader in readers.items()}
    times = alternate(serial, options.rounds, clock=options.clock)
    yield Result(f"{title}, one file at a time", times, OPENCV, items=frames, item="frames")
    if options.threads == 1:
        return
    many = [*paths] * max(1, 2 * options.threads // len(paths))
    with ThreadPoolExecutor(options.threads) as pool:
        side = {name: lambda reader=reader: list(pool.map(reader, many)) for name, reader in readers.items()}
        times = alternate(side, options.rounds, clock=options.clock)
    total = frames * len(many) // len(paths)
    yield Result(f"{title}, {options.threads} files at a time", times, OPENCV, items=total, item="frames")


def run(options) -> Iterator[Result]:
    """Yields the results on the files given or on generated ones."""
    if OPENCV not in _readers():
        print("skipped: comparison with OpenCV (cv2 is not installed: pip install opencv-python-headless)")
    if options.videos:
        yield from _compare(f"decode {len(options.videos)} files to 171x128", options.videos, options)
        return
    import av

    with tempfile.TemporaryDirectory() as folder:
        for name, codec in CODECS.items():
            if codec not in av.codecs_available:
                print(f"skipped: decoding {name} (this PyAV has no encoder {codec})")
                continue
            path = pathlib.Path(folder) / f"{codec}.mp4"
            write_video(path, codec)
            title = f"decode {name} {WIDTH}x{HEIGHT} ({path.stat().st_size // 1000} kB) to 171x128"
            yield from _compare(title, [path], options)
