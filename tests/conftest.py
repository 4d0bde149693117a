"""What several rooms' tests need: the real clips, and generated videos."""

import os
import pathlib

import numpy as np
import pytest


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real clips and lists, which the repository does not hold; tests that need it skip without it."""
    default = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = pathlib.Path(os.environ.get("KERAS_RES3D_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set KERAS_RES3D_TEST_DATA")
    return folder


def write_video(path, frames_uint8, codec="mpeg4", pix_fmt="yuv420p", fps=25, pts=None, time_base=None, options=None,
                source_format="rgb24", container_format=None, container_options=None):
    """Encode (frames, height, width, 3) uint8 RGB with PyAV. pts: ticks of time_base, one per frame."""
    import fractions

    import av

    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = frames_uint8[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if time_base:
            stream.codec_context.time_base = time_base
        for number, pixels in enumerate(frames_uint8):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=source_format)
            frame.pts = number if pts is None else int(pts[number])
            frame.time_base = time_base or fractions.Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def make_video():
    """`make_video(path, frames_uint8, codec="mpeg4", pix_fmt="yuv420p", fps=25, ...)` encodes a video file."""
    return write_video
