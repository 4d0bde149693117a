"""What the tables of an MP4 claim."""

import io

import numpy as np

from keras_res3d.data.sources.mp4 import claimed_samples


def box(kind, body):
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def numbers(*values):
    return b"".join(value.to_bytes(4, "big") for value in values)


def claimed(data):
    return claimed_samples(io.BytesIO(data), len(data))


def test_samples_of_one_size_and_runs_without_a_list_are_claims():
    same, listed = box(b"stsz", numbers(0, 4, 10**9)), box(b"stsz", numbers(0, 0, 2, 7, 9))
    run, listed_run = box(b"trun", numbers(1, 5000, 8)), box(b"trun", numbers(0x301, 3, 8) + bytes(24))
    start = box(b"ftyp", b"isom")
    assert claimed(start + box(b"moov", box(b"trak", listed))) == 0
    assert claimed(start + box(b"mdat", bytes(99)) + box(b"moov", same + listed + same)) == 2 * 10**9
    assert claimed(start + box(b"moov", listed) + box(b"moof", run) + box(b"moof", listed_run + run)) == 10_000
    long = numbers(1) + b"moov" + (16 + len(same)).to_bytes(8, "big") + same
    assert claimed(start + long) == claimed(start + numbers(0) + b"moov" + same) == 10**9


def test_other_formats_and_broken_boxes_claim_nothing():
    start = box(b"ftyp", b"")
    for data in (b"", b"RIFF" + bytes(50), box(b"abcd", b"stsz" + b"\xff" * 20), start + numbers(3) + b"moov",
                 start + numbers(99) + b"moovstsz"):  # fmt: skip
        assert claimed(data) == 0


def test_real_tables_claim_no_more_than_the_file_holds(tmp_path, make_video):
    for name, options in (("a.mp4", {}), ("b.mp4", {"movflags": "frag_keyframe+empty_moov"}), ("c.mov", {})):
        codec = "rawvideo" if name == "c.mov" else "libx264"
        path = make_video(tmp_path / name, np.zeros((30, 48, 64, 3), np.uint8), codec=codec, container_options=options)
        assert claimed(path.read_bytes()) == (30 if codec == "rawvideo" else 0)
