"""Features in Parquet files: what comes back, what other programs see, and what is damaged."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_res3d.commands.extract import FORMATS
from keras_res3d.tasks.feature_folder import PART_FORMATS, open_part, parts, read_header, write_header, write_part
from keras_res3d.tasks.feature_parts import parquet
from keras_res3d.tasks.features import read_features
from keras_res3d.tasks.shared_folder import FeatureWriter

from ..test_features import HEADER, ODD, part, row
from ..test_shared_folder import HEADER as NUMBERS
from ..test_shared_folder import ROOT, names, start, video

needs_pyarrow = pytest.mark.skipif(parquet.missing() is not None, reason="pyarrow is not installed")


@pytest.fixture
def folder(tmp_path):
    """Two parts: a bad video, a name that is not UTF-8, and a video that the second part replaces."""
    write_header(tmp_path, {**HEADER, "parts": "parquet"})
    videos = [row(3, 2), row(4, error="cut short"), dataclasses.replace(row(1, id=ODD), label=None, group="g"), row(0)]
    part(tmp_path, "1.parquet", videos)
    part(tmp_path, "2.parquet", [row(0, 2), row(2)], offset=10)
    return tmp_path


@needs_pyarrow
def test_features_come_back_as_from_npz(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("npz")
    header = read_header(folder)
    write_header(other, HEADER)
    for path in parts(folder):
        with open_part(path, header) as own:
            values = {layer: own.values(layer) for layer in header["layers"]}
            write_part(other / f"{path.stem}.npz", HEADER, own.videos, own.seconds(), values)
    found, right = read_features(folder), read_features(other)
    assert found.ids == right.ids == ("a/0.mp4", "a/0.mp4", ODD, "a/2.mp4", "a/3.mp4", "a/3.mp4")
    assert found.labels == right.labels and found.groups == right.groups and found.groups[2] == "g"
    assert np.array_equal(found.seconds, right.seconds) and found.seconds[:, 0].tolist() == [10, 12, 4, 14, 0, 2]
    for layer, width in HEADER["layers"].items():
        assert found.values[layer].dtype == np.float32 and found.values[layer].shape == (6, width)
        assert np.array_equal(found.values[layer], right.values[layer])
    assert set(read_features(folder, "pool5").values) == {"pool5"}


@needs_pyarrow
def test_other_programs_see_columns_and_the_header(folder):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "1.parquet")
    assert table.column_names == ["id", "label", "group", "begin", "end", "pool5", "odd/naïve name"]
    assert table["id"].to_pylist() == ["a/3.mp4", "a/3.mp4", "b/\\udcff \n字.mp4", "a/0.mp4"]
    assert table["label"].to_pylist() == ["a", "a", None, "a"] and table["end"].to_pylist() == [1, 3, 5, 7]
    assert table["pool5"].to_pylist() == [[value] * 3 for value in (0, 1, 2, 3)]
    facts = json.loads(table.schema.metadata[parquet.HEADER_KEY])
    assert facts == HEADER
    videos = json.loads(table.schema.metadata[parquet.VIDEOS_KEY])["videos"]
    assert [video["error"] for video in videos] == [None, "cut short", None, None]


@needs_pyarrow
def test_pandas_reads_the_folder(folder):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(sorted(map(str, folder.glob("*.parquet"))))
    assert frame["id"].tolist()[3:] == ["a/0.mp4", "a/0.mp4", "a/0.mp4", "a/2.mp4"]
    assert np.stack(frame["pool5"])[:, 2].tolist() == [0, 1, 2, 3, 10, 11, 12]
    frame = read_features(folder).to_data_frame()
    assert frame["pool5.0"].tolist() == [10, 11, 2, 12, 0, 1]
    assert frame["id"][2] == ODD and frame["label"][2] is None


@needs_pyarrow
def test_a_part_of_bad_videos_alone_has_no_rows(folder):
    part(folder, "3.parquet", [row(5, error="gone"), row(6, error="gone")])
    assert len(read_features(folder)) == 6
    with open_part(folder / "3.parquet", read_header(folder)) as own:
        assert own.values("pool5").shape == (0, 3) and own.seconds().shape == (0, 2)


@needs_pyarrow
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_cut_parts_are_named(folder, share):
    path = folder / "2.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"2\.parquet is no part of these features"):
        read_features(folder)


# In a process of its own, since native code reads the damaged files.
FLIPS = """
import sys
import numpy as np
from keras_res3d.tasks.features import read_features
folder, path = sys.argv[1], sys.argv[1] + "/2.parquet"
data, good = open(path, "rb").read(), read_features(folder)
found = 0
for place in range(0, len(data), 3):
    changed = bytearray(data)
    changed[place] ^= 0x41
    with open(path, "wb") as file:
        file.write(changed)
    try:
        now = read_features(folder)
    except ValueError as error:
        assert "2.parquet" in str(error), (place, error)
        found += 1
    else:  # a byte that nobody reads
        assert now.ids == good.ids and now.labels == good.labels, place
        assert all(np.array_equal(now.values[name], good.values[name]) for name in good.values), place
        assert np.array_equal(now.seconds, good.seconds), place
print(found, len(data) // 3)
"""


@needs_pyarrow
def test_a_flipped_byte_is_found_wherever_it_is(folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *sys.path])}
    command = [sys.executable, "-c", FLIPS, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found, tried = map(int, done.stdout.split())
    assert found > tried / 2


def _rewritten(path, change, **options):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(change(table), path, **{"compression": "none", **options})


def _column(table, name, values, kind):
    import pyarrow

    return table.set_column(table.column_names.index(name), name, pyarrow.array(values, kind))


@needs_pyarrow
@pytest.mark.parametrize("what", ["width", "type", "value", "inner gap", "no column", "rows", "metadata", "row order"])
def test_columns_of_another_shape_or_type_are_named(folder, what):
    import pyarrow as pa

    three, floats = pa.list_(pa.float32(), 3), pa.float32()
    changes = {
        "width": lambda table: _column(table, "pool5", [[1.0, 2.0]] * 3, pa.list_(floats, 2)),
        "type": lambda table: _column(table, "pool5", [[1.0, 2.0, 3.0]] * 3, pa.list_(pa.float64(), 3)),
        "value": lambda table: _column(table, "pool5", [[10.0] * 3, [11.0] * 3, [12.0, 12.0, 12.5]], three),
        "inner gap": lambda table: _column(table, "pool5", [[1.0, 2.0, None]] * 3, three),
        "no column": lambda table: table.drop_columns(["pool5"]),
        "rows": lambda table: table.slice(1),
        "metadata": lambda table: table.replace_schema_metadata(None),
        "row order": lambda table: table.replace_schema_metadata(
            {**table.schema.metadata, parquet.VIDEOS_KEY: table.schema.metadata[parquet.VIDEOS_KEY].upper()}),
    }  # fmt: skip
    _rewritten(folder / "2.parquet", changes[what])
    with pytest.raises(ValueError, match=r"2\.parquet"):
        read_features(folder)


@needs_pyarrow
def test_what_unpacks_to_more_than_its_file_is_refused(folder):
    """A million equal rows are some kB in a dictionary."""
    import pyarrow as pa

    rows = 1_000_000
    about = parquet.about_text(HEADER, [row(0, rows)]).encode()
    metadata = {parquet.HEADER_KEY: b"{}", parquet.VIDEOS_KEY: about, parquet.SUMS_KEY: b"[0, 0, 0]"}
    flat = pa.array(np.zeros(3 * rows, np.float32))
    columns = {"begin": np.zeros(rows), "end": np.zeros(rows), "pool5": pa.FixedSizeListArray.from_arrays(flat, 3)}
    table = pa.table(columns).replace_schema_metadata({**metadata, parquet.DIGEST_KEY: parquet._digest(metadata)})
    pa.parquet.write_table(table, folder / "2.parquet", use_dictionary=True)
    assert (folder / "2.parquet").stat().st_size < 1_000_000
    with open_part(folder / "2.parquet", read_header(folder)) as own:
        for read in (own.seconds, lambda: own.values("pool5")):
            with pytest.raises(ValueError, match="too short for 1000000 rows"):
                read()


@needs_pyarrow
def test_a_folder_is_completed_in_its_own_format(tmp_path):
    for count, format in ((3, "parquet"), (5, None), (6, "parquet")):
        with FeatureWriter(tmp_path, NUMBERS, "list", names(count), format) as writer:
            for number in writer.claim():
                writer.add(video(number, "cut short" if number == 4 else None))
    assert len(list(tmp_path.glob("*.parquet"))) == 3 and not list(tmp_path.glob("*.npz"))
    assert read_features(tmp_path).values["number"][:, 0].tolist() == [0, 1, 2, 3, 5]
    assert (tmp_path / "bad_videos.csv").read_text().splitlines()[1:] == ["4.mp4,cut short"]
    with pytest.raises(ValueError, match="in parquet files, and npz was asked for"):
        FeatureWriter(tmp_path, NUMBERS, "list", names(3), "npz")


@needs_pyarrow
def test_three_processes_share_a_folder(tmp_path):
    with FeatureWriter(tmp_path, NUMBERS, "list", names(60), "parquet"):
        pass  # says which format the folder has
    processes = [start(tmp_path, 60, companions=3) for _ in range(3)]
    done = [int(process.communicate()[0]) for process in processes]
    assert sum(done) == 60 and min(done) > 0 and not list(tmp_path.glob("*.npz"))
    assert read_features(tmp_path).values["number"][:, 0].tolist() == list(range(60))
    assert not (tmp_path / ".claims").exists()


def test_a_folder_of_npz_stays_one(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "missing", lambda: None)
    with FeatureWriter(tmp_path, NUMBERS, "list", names(1)) as writer:
        writer.add(video(0))
    with pytest.raises(ValueError, match="in npz files, and parquet was asked for"):
        FeatureWriter(tmp_path, NUMBERS, "list", names(1), "parquet")
    with pytest.raises(ValueError, match="expected one of npz, parquet"):
        FeatureWriter(tmp_path / "new", NUMBERS, "list", names(1), "csv")


@needs_pyarrow
def test_a_layer_of_a_columns_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a layer is called 'label'"):
        FeatureWriter(tmp_path, {**NUMBERS, "layers": {"label": 3}}, "list", names(1), "parquet")
    assert not list(tmp_path.glob("*.json"))


def test_what_to_install_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-res3d\[parquet\]'"):
        FeatureWriter(tmp_path, NUMBERS, "list", names(1), "parquet")
    assert not list(tmp_path.glob("*.json"))
    write_header(tmp_path, {**NUMBERS, "parts": "parquet"})
    (tmp_path / "1.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"pip install 'keras-res3d\[parquet\]'"):
        read_features(tmp_path)


def test_the_formats_are_those_of_the_command():
    assert tuple(PART_FORMATS) == FORMATS
