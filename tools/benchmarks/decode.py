"""Decoding and resizing to 171 x 128, this package's reader against OpenCV's and torchcodec's; random clips too."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.results import Missing, Result
from benchmarks.timing import alternate

SIZE = (128, 171)  # height, width
GENERATED_FRAMES, HEIGHT, WIDTH, FPS, BITS_PER_SECOND = 300, 240, 320, 25, 600_000
CODECS = {"MPEG-4": "mpeg4", "H.264": "libx264"}  # encoders
OURS, OPENCV, TORCHCODEC = "keras_res3d", "OpenCV", "torchcodec"
HOW_TO_GET = {
    OPENCV: "cv2 is not installed: pip install opencv-python-headless",
    TORCHCODEC: "not installed, or without the FFmpeg libraries that it needs: pip install torchcodec, as fits torch",
}
FRAMES, STRIDE = 8, 2  # of a random clip


def moving_texture(frames: int, height: int, width: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields uint8 RGB `(height, width, 3)`: a smooth texture that drifts under a little noise, as cameras see."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3)).astype("float32")
    texture = np.kron(coarse, np.ones((16, 16, 1), "float32"))
    for axis in (0, 1):
        texture = sum(np.roll(texture, shift, axis) for shift in range(-6, 7)) / 13
    for number in range(frames):
        top, left = number * 2 % height, number * 3 % width
        noisy = texture[top : top + height, left : left + width] + rng.normal(0, 3, (height, width, 1))
        yield np.clip(noisy, 0, 255).astype("uint8")


def write_video(path, codec: str, frames=GENERATED_FRAMES, height=HEIGHT, width=WIDTH, seed=0) -> None:
    """Encodes a moving texture with PyAV, another for another seed."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = height, width, "yuv420p", BITS_PER_SECOND
        for pixels in moving_texture(frames, height, width, seed):
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


def _torchcodec(path):
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    return VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC", transforms=[Resize(SIZE)])


def read_torchcodec(path) -> int:
    """Does the same by torchcodec, one thread a file."""
    count = 0
    try:
        for _ in _torchcodec(path):
            count += 1
    except RuntimeError:  # it promises a last frame that files such as some of HMDB51 do not have
        pass
    return count


def clip_ours(path, uniform: float) -> None:
    """Opens a file and reads one clip, as `training_batches` does."""
    from keras_res3d import Video
    from keras_res3d.data.clips import random_clip

    with Video(path, size=SIZE) as video:
        next(video.clips([random_clip(video.num_frames, FRAMES, STRIDE, uniform)]))


def clip_torchcodec(path, uniform: float) -> None:
    """Reads the same clip by torchcodec."""
    from keras_res3d.data.clips import random_clip

    decoder = _torchcodec(path)
    # The frames that it promises may end before their count; the clip stays clear of the end.
    indices = random_clip(decoder.metadata.num_frames - 2, FRAMES, STRIDE, uniform)
    decoder.get_frames_at(indices.tolist())


@functools.cache
def _torchcodec_works() -> bool:
    """Whether it is installed together with the FFmpeg libraries that it needs, which it loads at the first video."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "one.mp4"
        write_video(path, "mpeg4", 2)
        try:
            return next(iter(_torchcodec(path))) is not None
        except (ImportError, RuntimeError, OSError):
            return False


def _readers() -> dict[str, Callable]:
    readers = {OURS: read_ours}
    if importlib.util.find_spec("cv2"):
        readers[OPENCV] = read_opencv
    if _torchcodec_works():
        readers[TORCHCODEC] = read_torchcodec
    return readers


def _against(title: str, times: dict, **more) -> Iterator[Result]:
    """Yields one result for each contestant that this package is held against."""
    for name in times:
        if name != OURS:
            yield Result(f"{title}, against {name}", {OURS: times[OURS], name: times[name]}, name, **more)
    if len(times) == 1:
        yield Result(title, times, **more)


def _compare(title: str, paths, options) -> Iterator[Result]:
    """Yields the results of one file after the other, then as many files at a time as there are threads."""
    readers = _readers()
    counts = {name: sum(map(reader, paths)) for name, reader in readers.items()}
    if len(set(counts.values())) > 1:
        title += f" [frames differ: {counts}]"
    frames = counts[OURS]
    serial = {name: lambda reader=reader: list(map(reader, paths)) for name, reader in readers.items()}
    times = alternate(serial, options.rounds, clock=options.clock)
    yield from _against(f"{title}, one file at a time", times, items=frames, item="frames")
    if options.threads > 1:
        many = [*paths] * max(1, 2 * options.threads // len(paths))
        with ThreadPoolExecutor(options.threads) as pool:
            side = {name: lambda reader=reader: list(pool.map(reader, many)) for name, reader in readers.items()}
            times = alternate(side, options.rounds, clock=options.clock)
        total = frames * len(many) // len(paths)
        yield from _against(f"{title}, {options.threads} files at a time", times, items=total, item="frames")
    yield from _compare_clips(title, paths, options)


def _compare_clips(title: str, paths, options) -> Iterator[Result]:
    """Yields the result of one random clip of each file, the file opened for it; OpenCV cannot seek exactly."""
    readers = {OURS: clip_ours, **({TORCHCODEC: clip_torchcodec} if TORCHCODEC in _readers() else {})}
    places = np.random.default_rng(0).random(len(paths)).tolist()
    contestants = {name: lambda reader=reader: list(map(reader, paths, places)) for name, reader in readers.items()}
    times = alternate(contestants, options.rounds, clock=options.clock)
    clip = f"a random clip of {FRAMES} frames, every {STRIDE}nd"
    yield from _against(f"{title}, {clip}", times, items=len(paths), item="clips")


def run(options) -> Iterator[Result | Missing]:
    """Yields the results on the files given or on generated ones."""
    for name, how in HOW_TO_GET.items():
        if name not in _readers():
            yield Missing(f"comparison with {name}", how)
    if options.videos:
        yield from _compare(f"decode {len(options.videos)} files to 171x128", options.videos, options)
        return
    import av

    with tempfile.TemporaryDirectory() as folder:
        for name, codec in CODECS.items():
            if codec not in av.codecs_available:
                yield Missing(f"decoding {name}", f"this PyAV has no encoder {codec}")
                continue
            path = pathlib.Path(folder) / f"{codec}.mp4"
            write_video(path, codec)
            title = f"decode {name} {WIDTH}x{HEIGHT} ({path.stat().st_size // 1000} kB) to 171x128"
            yield from _compare(title, [path], options)
