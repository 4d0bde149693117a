"""OpenCV's pixels: resizing, JPEG both ways, and pictures that are refused before they are decoded."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from keras_res3d.data.images import decode_jpeg, decode_picture, encode_jpeg, jpeg_size, picture_size, resize


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 255, (8, 12, 3), np.uint8), np.ones((8, 8, 1), np.uint8))


def saved(picture, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(48, 31), (128, 171), (64, 95)])
def test_frames_are_resized_as_opencv_does(picture, size):
    found = resize(picture, size)
    assert found.shape == (*size, 3) and found.dtype == np.uint8
    assert np.array_equal(found, cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR))
    turned = picture[:, ::-1]
    assert np.array_equal(resize(turned, size), cv2.resize(np.ascontiguousarray(turned), size[::-1]))


def test_a_frame_of_that_size_is_left_alone(picture):
    assert resize(picture, (np.int64(64), 96)) is picture
    with pytest.raises(TypeError):
        resize(picture, (64.5, 96))


def test_jpegs_there_and_back(picture):
    data = encode_jpeg(picture, 95)
    assert data == encode_jpeg(picture.copy(), 95) and len(encode_jpeg(picture, 50)) < len(data)
    assert jpeg_size(data) == (64, 96)
    assert np.array_equal(decode_jpeg(data), np.asarray(Image.open(io.BytesIO(data))))
    assert np.abs(decode_jpeg(data).astype(int) - picture).mean() < 12


def test_grey_progressive_and_turned_pictures(picture):
    grey = decode_jpeg(saved(picture[..., 0]))
    assert grey.shape == (64, 96, 3) and (grey == grey[..., :1]).all()
    assert decode_jpeg(saved(picture, progressive=True)).shape == (64, 96, 3)
    turned = Image.Exif()
    turned[0x0112] = 6
    data = saved(picture, exif=turned)
    assert jpeg_size(data) == (64, 96) and np.array_equal(decode_jpeg(data), decode_jpeg(saved(picture)))


def test_a_thumbnail_inside_does_not_tell_the_size(picture):
    data, small = saved(picture), saved(picture[:8, :8])
    segment = b"\xff\xe5" + (len(small) + 2).to_bytes(2, "big") + small
    assert jpeg_size(data[:2] + segment + b"\xff\xff" + data[3:]) == (64, 96)


def with_size(data, height, width):
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[place + 4 :]


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(picture, monkeypatch):
    data = encode_jpeg(picture, 90)
    assert decode_jpeg(data, max_pixels=64 * 96).shape == (64, 96, 3)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=r"it is 96 x 64; expected 1 to 6143 pixels"):
        decode_jpeg(data, max_pixels=64 * 96 - 1)
    with pytest.raises(ValueError, match="65535 x 65535"):
        decode_jpeg(with_size(data, 65535, 65535))
    with pytest.raises(ValueError, match="96 x 0"):
        decode_jpeg(with_size(data, 0, 96))


def test_what_is_no_whole_jpeg_is_refused(picture):
    data, png = encode_jpeg(picture, 90), io.BytesIO()
    Image.fromarray(picture).save(png, "PNG")
    for bad in (b"", b"text", bytes(1000), png.getvalue(), b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8" + b"\xff" * 99):
        with pytest.raises(ValueError, match=r"not a JPEG|ends before"):
            decode_jpeg(bad)
    for kept in (len(data) // 3, len(data) // 2, len(data) - 20, len(data) - 1):
        with pytest.raises(ValueError, match="damaged or cut short"):
            decode_jpeg(data[:kept])


def test_damaged_bytes_give_an_error_or_a_picture_of_the_promised_size(picture):
    data, rng, read = encode_jpeg(picture, 80), np.random.default_rng(0), 0
    for _ in range(300):
        bad = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            bad[place] = rng.integers(256)
        try:
            pixels = decode_jpeg(bytes(bad), max_pixels=1_000_000)
        except ValueError:
            continue
        assert pixels.shape == (*jpeg_size(bytes(bad)), 3)
        read += 1
    assert 0 < read < 300


def as_png(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_pngs_of_every_kind(picture):
    image = Image.fromarray(picture)
    assert np.array_equal(decode_picture(as_png(image)), picture)
    grey = image.convert("L")
    assert np.array_equal(decode_picture(as_png(grey)), np.asarray(grey.convert("RGB")))
    bits = image.convert("1")
    assert np.array_equal(decode_picture(as_png(bits)), np.asarray(bits.convert("RGB")))
    palette = image.quantize(16)
    for options in ({}, {"transparency": 3}):
        assert np.array_equal(decode_picture(as_png(palette, **options)), np.asarray(palette.convert("RGB")))
    # The colour under transparent pixels counts.
    alpha = np.dstack([picture, np.arange(64 * 96, dtype=np.uint8).reshape(64, 96)])
    assert np.array_equal(decode_picture(as_png(Image.fromarray(alpha))), picture)
    rng = np.random.default_rng(0)
    for shape in ((64, 96), (64, 96, 3), (64, 96, 4)):
        deep = rng.integers(0, 65536, shape, np.uint16)
        data = cv2.imencode(".png", deep)[1].tobytes()
        upper = (deep >> 8).astype(np.uint8)
        expected = np.repeat(upper[..., None], 3, axis=2) if upper.ndim == 2 else upper[..., 2::-1]
        assert np.array_equal(decode_picture(data), expected) and picture_size(data) == (64, 96)
    assert np.array_equal(decode_picture(encode_jpeg(picture, 90)), decode_jpeg(encode_jpeg(picture, 90)))


def test_pngs_that_are_too_large_or_damaged_are_refused(picture, monkeypatch, capfd):
    data = as_png(Image.fromarray(picture))
    for kept in (0, 7, 8, 20, 40, len(data) // 2, len(data) - 20, len(data) - 12):
        with pytest.raises(ValueError, match=r"neither a JPEG nor a PNG|ends before|damaged or cut short"):
            decode_picture(data[:kept])
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    with pytest.raises(ValueError, match="damaged or cut short"):
        decode_picture(bytes(flipped))
    capfd.readouterr()
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=r"it is 96 x 64; expected 1 to 6143 pixels"):
        decode_picture(data, max_pixels=64 * 96 - 1)
    with pytest.raises(ValueError, match="4294967295 x 64"):
        decode_picture(data[:16] + b"\xff" * 4 + data[20:])
    with pytest.raises(ValueError, match="not a JPEG"):  # as in packed shards, which hold JPEG alone
        decode_jpeg(data)
