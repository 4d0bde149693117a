"""Lists of every layout with hostile text in every place: a fault that says the file and the line, or a list read."""

from __future__ import annotations

import pytest

from keras_res3d.data.open import read_layout
from keras_res3d.data.types import DataError
from keras_res3d.data.video_list import listed_videos
from keras_res3d.tasks.detection.annotations import read_annotations
from keras_res3d.tasks.detection.detections import read_detections
from keras_res3d.tasks.detection.moments import Annotations
from keras_res3d.tasks.similarity import read_pairs
from tests.test_hostile_files import outcome

# Each stands for what a file may hold in place of a name or a number.
TOKENS = {
    "a bare CR": "a\rb", "NUL": "a\0b", "5,000 digits": "9" * 5000, "a negative number": "-1", "no number": "nan",
    "infinity": "1e999", "another script's digits": "\u0663", "a superscript": "\u00b2", "a long name": "x" * 5000,
    "many folders": "../" * 3000, "an escape": "\x1b[31m", "a quotation mark": '"', "line separators": "a\u2028b\x85c",
    "half a pair": "\ud800", "nothing": "",
}  # fmt: skip
# Of each layout the files, with a place for a token in each field in turn.
LISTS = {
    "csv": {"train.csv": "path,label,group\n{0},{1},{2}\n"},
    "ucf101": {"classInd.txt": "1 A\n{0} {1}\n", "trainlist01.txt": "A/v_A_g01_c01.avi 1\n{1}/v_B_g01_c01.avi {2}\n"},
    "hmdb51": {"wave_test_split1.txt": "a_wave_f_cm_np1_fr_med_0.avi 1\n{0} {1}\n"},
    "kinetics": {"train.csv": "label,youtube_id,time_start,time_end,split\n{0},{1},{2},10,train\nA,x,1,{2},train\n"},
    "sports1m": {"train_partition.txt": "http://www.youtube.com/watch?v=abc 1\nhttp://{0}/watch?v={1} {2}\n"},
    "caffe": {"train_01.lst": "frames/one/ 1 0\n{0} {1} {2}\n"},
}
USUAL = ("v.mp4", "1", "1")


def written(folder, files: dict, token: str):
    for place in range(3):
        for name, template in files.items():
            text = template.format(*(token if at == place else usual for at, usual in enumerate(USUAL)))
            (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        yield place


@pytest.mark.parametrize("token", TOKENS)
def test_lists_of_videos(tmp_path, token):
    for layout, files in LISTS.items():
        for _ in written(tmp_path, files, TOKENS[token]):
            lists = tmp_path / "train.csv" if layout == "csv" else tmp_path
            said = outcome(lambda lists=lists, layout=layout: read_layout(layout, lists, tmp_path), DataError)
            assert said and (" line " in said or "UTF-8" in said), (layout, said)  # the videos are missing, at least
            assert "\x1b" not in said and "\0" not in said and "\r" not in said


@pytest.mark.parametrize("token", TOKENS)
def test_other_lists(tmp_path, token):
    annotations = Annotations("x", ("run",), (), [], [], {})
    files = {
        "videos.csv": "path,label\n{0},{1}\n", "pairs.txt": "{0} {1} {2}\n", "found.csv":
        "video,begin,end,label,score,window\n{0},{1},2,run,0.5,{2}\nv,0,1,run,{1},\n",
        "run_test.txt": "{0} {1} 5\nv 0 {2}\n", "detclasslist.txt": "1 run\n{1} {0}\n",
    }  # fmt: skip
    for _ in written(tmp_path, files, TOKENS[token]):
        for read in (lambda: listed_videos(tmp_path / "videos.csv"), lambda: read_pairs(tmp_path / "pairs.txt"),
                     lambda: read_detections(tmp_path / "found.csv", annotations),
                     lambda: read_annotations(tmp_path, "test")):  # fmt: skip
            said = outcome(read, DataError)
            assert said is None or ("line" in said or "UTF-8" in said or "missing file" in said), said
            assert said is None or not set("\x1b\0\r") & set(said)
