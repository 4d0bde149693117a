"""Colours and orientation: every pixel format against the standards' formulas, in float64."""

import io
import itertools
import struct
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from keras_res3d.data.sources.colours import Colours
from keras_res3d.data.sources.video_file import Video
from keras_res3d.data.types import VideoError

# Pixel formats: rows and columns of a chroma sample, bits.
FORMATS = {"yuv420p": (2, 2, 8), "yuv422p": (1, 2, 8), "yuv411p": (1, 4, 8), "yuv440p": (2, 1, 8),
           "yuv444p": (1, 1, 8), "yuv420p10le": (2, 2, 10), "yuv422p10le": (1, 2, 10), "yuv444p10le": (1, 1, 10),
           "yuv444p12le": (1, 1, 12)}  # fmt: skip
# (red, blue) weights of luma: BT.709, FCC, BT.601 (three numbers), SMPTE 240M, BT.2020.
WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 2: (0.299, 0.114), 5: (0.299, 0.114), 6: (0.299, 0.114),
           7: (0.212, 0.087), 9: (0.2627, 0.0593)}  # fmt: skip
LIMITED, FULL = 1, 2


def frame_of(planes, pix_fmt, matrix=2, range_=LIMITED, transfer=None):
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    frame.colorspace, frame.color_range = matrix, range_
    if transfer is not None:
        frame.color_trc = transfer
    for plane, values in zip(frame.planes, planes, strict=True):
        data = np.zeros((plane.height, plane.line_size), np.uint8)
        values = np.ascontiguousarray(values)
        data[:, : values.shape[1] * values.itemsize] = values.view(np.uint8)
        plane.update(data)
    return frame


def waves(height, width, pix_fmt, range_=LIMITED, seed=0):
    """Planes of smooth waves with noise, whose colours stay inside RGB."""
    rng, (rows, columns, bits) = np.random.default_rng(seed), FORMATS[pix_fmt]
    planes = []
    for number in range(3):
        h, w = (height, width) if number == 0 else (-(-height // rows), -(-width // columns))
        wave = np.sin(np.arange(w) / (9 + number))[None] * np.cos(np.arange(h) / (7 + number))[:, None]
        values = 126 + (60, 25, 25)[number] * wave + rng.normal(0, (6, 1, 1)[number], (h, w))
        values = np.clip(values, *((0, 255) if range_ == FULL else (16, 235))) * 2 ** (bits - 8)
        planes.append(np.rint(values).astype(np.uint8 if bits == 8 else np.uint16))
    return planes


def stretched(plane, height, width, rows, columns):
    """Chroma at each pixel, interpolated: samples lie in the middle between rows, and on the left columns."""
    for axis, count, step in ((0, height, rows), (1, width, columns)):
        place = (np.arange(count) - ((step - 1) / 2 if axis == 0 else 0)) / step
        below = np.clip(np.floor(place).astype(int), 0, plane.shape[axis] - 1)
        above = np.minimum(below + 1, plane.shape[axis] - 1)
        weight = np.clip(place - below, 0, 1).reshape((-1, 1) if axis == 0 else (1, -1))
        plane = np.take(plane, below, axis) * (1 - weight) + np.take(plane, above, axis) * weight
    return plane


def analogue(planes, pix_fmt, range_=LIMITED, chroma=224):
    """The planes as 0..1 and -0.5..0.5, chroma at every pixel."""
    rows, columns, bits = FORMATS[pix_fmt]
    (height, width), unit = planes[0].shape, 2 ** (bits - 8)
    y, *others = (plane.astype(np.float64) for plane in planes)
    lengths = (2**bits - 1,) * 2 if range_ == FULL else (219 * unit, chroma * unit)
    y = (y - (0 if range_ == FULL else 16 * unit)) / lengths[0]
    return y, *(stretched((p - 128 * unit) / lengths[1], height, width, rows, columns) for p in others)


def levels_of(*channels):
    return 255 * np.clip(np.stack(channels, axis=-1), 0, 1)


def expected(planes, pix_fmt, matrix, range_=LIMITED):
    y, u, v = analogue(planes, pix_fmt, range_)
    red_weight, blue_weight = WEIGHTS[matrix]
    red, blue = y + 2 * (1 - red_weight) * v, y + 2 * (1 - blue_weight) * u
    return levels_of(red, (y - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight), blue)


def difference(frame, levels):
    pixels = Colours("a.mp4").rgb(frame)
    assert pixels.dtype == np.uint8 and pixels.shape == levels.shape
    return pixels - levels


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_colours_are_those_of_the_formulas(pix_fmt, size):
    rows, columns, bits = FORMATS[pix_fmt]
    by_tables = pix_fmt in ("yuv420p", "yuv422p") and size[0] % 2 == 0
    for matrix, range_ in itertools.product(WEIGHTS, (LIMITED, FULL)):
        planes = waves(*size, pix_fmt, range_)
        found = difference(frame_of(planes, pix_fmt, matrix, range_), expected(planes, pix_fmt, matrix, range_))
        if by_tables:  # as OpenCV's reader, dark by about one level; chroma is repeated
            assert np.abs(found).mean() < 1.7 and -1.3 < found.mean() < -0.5
            continue
        # The scaler takes 255 * 4 for the end of the full range of 10 bits, not 1023; on the edges of odd sizes it
        # takes the place of chroma otherwise.
        assert abs(found.mean()) < (0.5 if size[0] % 2 or (range_ == FULL and bits > 8) else 0.1), (matrix, range_)
        if rows == columns == 1:
            assert np.abs(found).max() < 1.5
        else:
            assert np.abs(found).mean() < (1.6 if size[0] % 2 else 1)


def test_eight_bits_repeat_the_chroma_sample():
    planes = waves(48, 64, "yuv420p")
    whole = [planes[0], *(np.repeat(np.repeat(plane, 2, 0), 2, 1) for plane in planes[1:])]
    found = difference(frame_of(planes, "yuv420p", 1), expected(whole, "yuv444p", 1))
    assert np.abs(found).max() < 4 and -1.3 < found.mean() < -0.9


def test_rgb_and_deep_rgb_are_kept():
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    accurate = av.video.reformatter.Interpolation.ACCURATE_RND | 2
    for pix_fmt in ("rgb24", "bgra", "gbrp", "gbrp10le", "rgb48le"):
        other = frame.reformat(format=pix_fmt, interpolation=accurate)
        for matrix in (0, 2, 3, 8, 14):  # a matrix means nothing there
            other.colorspace = matrix
            assert np.array_equal(Colours("a").rgb(other), pixels), (pix_fmt, matrix)


def test_grey_is_kept():
    levels = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    for pix_fmt, planes in (("gray", [levels]), ("gray16le", [levels.astype(np.uint16) * 257])):
        for matrix in (0, 2, 3, 8, 14):
            frame = frame_of(planes, pix_fmt, matrix, FULL)
            assert np.abs(difference(frame, np.repeat(levels[..., None], 3, axis=2).astype(float))).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv444p10le"])
@pytest.mark.parametrize("range_", [LIMITED, FULL])
def test_ycgco_and_identity_by_formula(pix_fmt, range_):
    planes = waves(48, 64, pix_fmt, range_)
    y, cg, co = analogue(planes, pix_fmt, range_, chroma=219)
    found = difference(frame_of(planes, pix_fmt, 8, range_), levels_of(y - cg + co, y + cg, y - cg - co))
    assert np.abs(found).mean() < 1 and abs(found.mean()) < 0.1
    if "444" not in pix_fmt:
        return
    assert np.abs(found).max() < 2.5  # eight bits a plane
    green, blue, red = (plane / 2 ** (FORMATS[pix_fmt][2] - 8) for plane in planes)
    found = difference(
        frame_of(planes, pix_fmt, 0, range_),
        levels_of(*((plane - 16) / 219 if range_ == LIMITED else plane / 255 for plane in (red, green, blue))),
    )
    assert np.abs(found).max() < 2 and np.abs(found).mean() < 0.6 and abs(found.mean()) < 0.2


def test_constant_luminance_there_and_back():
    """RGB is encoded by the formulas of BT.2020, table 4, in 12 bits and full range."""
    rgb = np.kron(np.random.default_rng(0).random((6, 8, 3)), np.ones((8, 8, 1)))
    linear = np.where(rgb < 0.081, rgb / 4.5, ((rgb + 0.099) / 1.099) ** (1 / 0.45))
    luma = linear @ [0.2627, 0.6780, 0.0593]
    luma = np.where(luma < 0.018, 4.5 * luma, 1.099 * luma**0.45 - 0.099)
    cb, cr = rgb[..., 2] - luma, rgb[..., 0] - luma
    cb, cr = cb / np.where(cb > 0, 1.5816, 1.9404), cr / np.where(cr > 0, 0.9936, 1.7184)
    planes = [np.rint(p * 4095).astype(np.uint16) for p in (luma, cb + 2048 / 4095, cr + 2048 / 4095)]
    found = difference(frame_of(planes, "yuv444p12le", 10, FULL), 255 * rgb)
    # Green of dark pixels follows from small differences.
    assert np.abs(found).mean() < 1 and np.quantile(np.abs(found), 0.99) < 6 and abs(found.mean()) < 0.2


@pytest.mark.parametrize(("matrix", "pix_fmt"), [(3, "yuv420p"), (3, "yuv444p10le"), (0, "yuv420p")])
def test_a_matrix_that_says_nothing_is_bt601_with_one_warning(matrix, pix_fmt):
    planes = waves(48, 64, pix_fmt)
    colours = Colours("a.mp4")
    with pytest.warns(UserWarning, match=rf"a\.mp4: names colour matrix {matrix} .*BT\.601") as caught:
        found = [colours.rgb(frame_of(planes, pix_fmt, matrix)) for _ in range(3)]
    assert len(caught) == 1
    assert np.array_equal(found[2], Colours("b").rgb(frame_of(planes, pix_fmt, 5)))


@pytest.mark.parametrize(("matrix", "name"), [(14, "ICtCp"), (12, "primaries"), (200, "unknown")])
def test_other_matrices_are_refused_by_name(matrix, name):
    with pytest.raises(VideoError, match=rf"a\.mp4: its colours cannot .*number {matrix} of H\.273.*{name}"):
        Colours("a.mp4").rgb(frame_of(waves(48, 64, "yuv420p"), "yuv420p", matrix))


def test_hdr_is_converted_by_its_matrix_with_one_warning():
    planes = waves(48, 64, "yuv420p10le")
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        colours = Colours("a.mp4")
        with pytest.warns(UserWarning, match=rf"a\.mp4: is HDR \({name}\)") as caught:
            found = [colours.rgb(frame_of(planes, "yuv420p10le", 9, transfer=transfer)) for _ in range(2)]
        assert len(caught) == 1
        assert np.array_equal(found[0], Colours("b").rgb(frame_of(planes, "yuv420p10le", 9)))


def test_files_with_odd_matrices(shared_data):
    for name in ("c601.mp4", "c709.mp4", "video_ycgco_matrix.mp4", "video_bt2020cl_matrix.mp4"):
        path = shared_data / "odd" / name
        if not path.is_file():
            pytest.skip("no folder of odd videos in the test data")
        with warnings.catch_warnings(), Video(path, strict=True) as video:
            warnings.simplefilter("error")
            pixels = next(video.frames([0]))[1]
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
        planes = [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in frame.planes]
        if frame.colorspace == 8:
            y, cg, co = analogue(planes, "yuv420p", chroma=219)
            assert np.abs(pixels - levels_of(y - cg + co, y + cg, y - cg - co)).mean() < 6
        elif frame.colorspace != 10:
            planes[1:] = (np.repeat(np.repeat(plane, 2, 0), 2, 1) for plane in planes[1:])
            assert np.abs(pixels - expected(planes, "yuv444p", frame.colorspace)).mean() < 1.5, name


CORNERS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 200]], np.uint8)


def quadrants(height, width):
    """Red, green above blue, white."""
    return np.kron(CORNERS.reshape(2, 2, 3), np.ones((height // 2, width // 2, 1), np.uint8))


# (a, b, c, d): the pixel (x, y) is shown at (a x + c y, b x + d y).
ORIENTATIONS = {
    "as stored": ((1, 0, 0, 1), lambda p: p),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "a quarter clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, 3)),
    "a quarter counterclockwise": ((0, -1, 1, 0), np.rot90),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed about the other diagonal": ((0, -1, -1, 0), lambda p: np.rot90(p, 2).swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_all_eight_orientations_come_out_upright(tmp_path, make_video, name):
    matrix, turn = ORIENTATIONS[name]
    path = make_video(tmp_path / "a.mp4", np.stack([quadrants(48, 64)] * 3))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    with Video(path) as video:
        stored = next(video.frames([1]))[1]
    path.write_bytes(data)
    with Video(path) as video:
        pixels = next(video.frames([1]))[1]
    assert np.array_equal(pixels, turn(stored))
    # The same as the formula says, pixel by pixel.
    rows, columns = np.mgrid[:48, :64]
    x, y = matrix[0] * columns + matrix[2] * rows, matrix[1] * columns + matrix[3] * rows
    assert np.array_equal(pixels[y - y.min(), x - x.min()], stored)


def test_a_matrix_between_two_orientations_is_rounded(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", np.stack([quadrants(48, 64)] * 2))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    for matrix, shape in (((9, 4, -4, 9), (48, 64)), ((4, 9, -9, 4), (64, 48)), ((0, 0, 0, 0), (48, 64))):
        a, b, c, d = (value << 12 for value in matrix)
        data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
        with Video(path) as video:
            assert next(video.frames([0]))[1].shape[:2] == shape


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_jpeg_pictures_with_exif_in_a_video(tmp_path, orientation, turns):
    exif, buffer, pixels = Image.Exif(), io.BytesIO(), quadrants(48, 64)
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif, quality=95)
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(2):
            packet = av.Packet(buffer.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            container.mux(packet)
    with Video(tmp_path / "a.avi") as video:
        found = next(video.frames([0]))[1]
    assert np.abs(found.astype(int) - np.rot90(pixels, turns)).mean() < 8


def test_mirrored_files_are_shown_as_ffmpeg_shows_them(shared_data):
    for name, axis in (("mirror_h.mp4", 1), ("mirror_v.mp4", 0)):
        path = shared_data / "odd" / name
        if not path.is_file():
            pytest.skip("no folder of odd videos in the test data")
        with av.open(str(path)) as container:
            stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
        with Video(path) as video:
            assert np.array_equal(next(video.frames([0]))[1], np.flip(stored, axis))
