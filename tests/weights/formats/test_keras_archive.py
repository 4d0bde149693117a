"""A damaged `.keras` archive is a ValueError, however its entries are compressed and wherever the damage is."""

import io
import zipfile

import pytest

from keras_res3d.weights.formats.keras_archive import CONFIG, check_archive

KINDS = {"stored": zipfile.ZIP_STORED, "zlib": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2,
         "lzma": zipfile.ZIP_LZMA}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_bit_is_a_value_error_or_means_nothing(tmp_path, kind):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", KINDS[kind]) as archive:
        archive.writestr(CONFIG, '{"config": {"layers": []}}')
    whole, path, refused = buffer.getvalue(), tmp_path / "a.keras", 0
    path.write_bytes(whole)
    check_archive(path)
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            check_archive(path)
        except ValueError as error:
            assert str(error)
            refused += 1
    assert refused > 4 * len(whole)


def test_a_file_that_is_not_there_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_archive(tmp_path / "a.keras")
