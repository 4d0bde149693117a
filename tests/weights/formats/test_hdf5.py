"""HDF5 files that crash libhdf5, keep it busy for ever, or fill the memory are refused by name."""

from __future__ import annotations

import base64
import os
import pathlib
import subprocess
import sys
import threading
import time
import zipfile
import zlib

import h5py
import numpy as np
import pytest

from keras_res3d.io import child_environment
from keras_res3d.weights.formats import hdf5
from keras_res3d.weights.formats.registry import read_tensors
from keras_res3d.weights.source import WeightsError

# Weights files as Keras writes them, each with one flipped bit: libhdf5 2.0 never returns from the first, and crashes
# at the second. Python's own signal handlers do not stop either.
FLIPPED = {
    "hang": (
        "eNrtWj1vE0EQnb2zyTnYiiNFiqGJ+TAy4EgmsYg7HBGDixOJgCIFRQyxRGEMIlIUJCRSUAQpBQVFSooUKSn4ASkpKPkBKSgoKFK4"
        "D77b3fPN2mefPxKbeJ50Ws3deM/aeZ59O+NPhaUHkfHL42DBMCAAUXDjROBjFtvy+ZoYmRh3xHigyfvMfhYT9yfF/Krf08f5vOV9"
        "okC+5yjIRwMIo4hCfnHFGleFLVn6Q8N+5eK70tuNOh8LPb7Xi78Fndsvg/74+yfExxiFkvhbQ1zmyyD2e/G6sjm/DvC8wu31UmWj"
        "5Mqv2Q7f++TR8pLFYJk34zrO1yqPCZ3lgZUxbr8J+csDxxHaxygPNO5jn0PYb7No7WL928d4HtCd912/hvOAKexyAvMzOYb9VL7L"
        "38PPWexXFfZU+rzlAR3lgahY0ewE1sPt8sBBHMefMNp5QPJpL4L95M/njnLOyvWUB+p6IH0Rz7sq7K0IxagV5P6vrldYRIZBEKZq"
        "q1wpvrLkG1xizP5E1FlrA637BSv2E/VYPLy/bDJXgnD8GNaJ8vgjR6kbhawDKeukjnTyzwTFkEAgEAgEAoFAIBAIhEHDqh8w18Gf"
        "QZKPGkPnfV05/+vOGLM/OhmfgYB9Jw7TBkx/cOoChv1c0/iEhqhA6ez4CvdQO5VbA10PXrfSnLrV3kxrf1lXNa4SlzC274FdPszV"
        "ru3a9bV2HeYa+cbjzxhTeNUrv2Ki0xBWvtfOEK4Tv7x6f2rPpF3Nfz8pOEkkHEl49f52E9iv370/r57V35vcXgN//H12G39vwmjz"
        "V/LJTGK/0+5Z/U7gecM3+JhKUoxaQe5b6np127OyNKfsWWlNNetpaYj91P+gIVTNat7yp1m/pYirXpr17Dh2OHtedKr6X5x2+7w5"
        "TzqV9vlGnZpJD0anfsl0plMDd0mnEn8bdWp17mx16m4az/td2L/mKEZ+dKq6Xt3q1KBLp+rQvrYacOnbZnb3msJcAOGPMVy11WrG"
        "n04tLxBXvXSqu7YKcGQRd7GddtX6xrP32eYKbji16z+PRx8u"
    ),
    "segv": (
        "eNrtWj1vE0EQnb2zyTnYsiNFiqGJ+TAy4EgmsYg7HBGDixOJgCIFRQyxRGEMIlIUJCRSUAQpBQVFSooUKSn4ASkpKPkBKSgoKFK4"
        "D77b3fPN2mefYyc28TzptJq78Z618zz7dsafiosPIuOXx8GCYUAAYuDGscDHHLbl81UxMjFui3Ffk/eZ/Swu7k+I+VW/p48LBcv7"
        "WIF8z2GQjwYQRhHFwsKyNa4IW7L0h4b9KqV35bfrDT4We3yvF3+LOrdfBv3x90+Ij3EKJfG3joTMl0Hs9+J1dWNuDeB5ldtr5ep6"
        "2ZVfc12+98mjpUWLwTJvJnScr1UeE7rLA8tj3H4T8pcHjiK0j1EeaN7HPoew30bJ2sX6t4/xPKA777t+DecBU9iVJOZnagz7qXyX"
        "v4efM9ivJuzJzHnLAzrKAzGxorko1sOd8sB+AsefMNp5QPJpN4L95M/njnLOyveUBxp6IHMRz7si7M0Ixagd5P6vrldYRIZBECbr"
        "q1wtvbLkG1xizP5EzFlrA637BSv20UYsHt5fMpkrQbj93DpRHn/kKHWjkHUgZZ3UkU7+iVIMCQQCgUAgEAgEAoFAGDSs+gFzHfwZ"
        "pPioMXTe15Xzv+6McfujE4lpCNh3EjBlwNQHpy5g2M81jU9oiAqUzo6ucA+1U7k50PXgdSvNqVvtTrf3l3VV4ypxCWPrHtjlw3z9"
        "2qpfX+vXQb6Zbzz+jDGFV73yKy46DWHle20P4Trxy6v3p/ZMOtX891KCk0TCkYRX728nif363fvz6ln9vcntVfDH32e38fcmjDZ/"
        "JZ/MFPY77Z7V7ySeN3yDj+kUxagd5L6lrtdJe1aW5pQ9K62lZj0tDbGX/h80hKpZzVv+NOu3NHHVS7OeHccOZs6LTlX/i9Npnzfn"
        "SKfSPt+sU7OZwejUL9nudGrgLulU4m+zTq3Nnq1O3cngeb8L+9csxciPTlXXy1On6u11atClU3XoXFsNuPRtK/vkmsKcB+GPMVy1"
        "1VrWn06tzBNXvXSqu7YKcGgRd6GTdtX6xrP3udYKbji16z9t8h8v"
    ),
}
QUICK = hdf5.Limits(cpu_seconds=0.5, memory_mb=64)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(hdf5, "Limits", lambda: QUICK)
    monkeypatch.setattr(hdf5, "_known", {})


OLD = 10**9  # a time of change, in seconds since 1970


def whole(path, values=None):
    with h5py.File(path, "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables.attrs["name"] = "fc8"
        variables.create_dataset("0", data=np.ones(3, "f4") if values is None else values)
    return path


def in_archive(path, contents: bytes):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"config": {"layers": []}}')
        archive.writestr(hdf5.CONTENTS, contents)
    return path


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("kind", FLIPPED)
def test_one_flipped_bit_is_an_error_that_names_the_file(tmp_path, kind, archived):
    data = zlib.decompress(base64.b64decode(FLIPPED[kind]))
    path = tmp_path / ("a.keras" if archived else "a.weights.h5")
    if archived:
        in_archive(path, data)
    else:
        path.write_bytes(data)
    with pytest.raises(WeightsError, match=rf"{path.name}: damaged"):
        read_tensors(path)
    assert read_tensors(whole(tmp_path / "whole.weights.h5")).tensors["fc8/0"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("how", ["compressed", "sparse"])
def test_what_unpacks_to_more_than_four_times_the_file_is_refused(tmp_path, how):
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        if how == "compressed":
            file.create_dataset("a", data=np.zeros(1 << 25, "f4"), compression="gzip", chunks=(1 << 23,))
        else:
            file.create_dataset("a", (1 << 40,), "f4")
    with pytest.raises(hdf5.HarmfulFileError, match="takes more than 64 MB and four times its size"):
        hdf5.try_in_child(path)


def test_links_in_a_circle_come_to_an_end(tmp_path):
    path = whole(tmp_path / "a.weights.h5")
    with h5py.File(path, "a") as file:
        file["layers/dense/again"] = file["layers"]
        file["layers/elsewhere"] = h5py.ExternalLink("/dev/zero", "/a")
    hdf5.try_in_child(path)


def test_a_file_is_tried_once_until_it_changes(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(hdf5._CHILD, "answer", lambda path, limits: tried.append(path) or "")
    path = whole(tmp_path / "a.weights.h5")
    os.utime(path, (OLD, OLD))
    for _ in range(2):
        hdf5.try_in_child(path)
    assert len(tried) == 1
    whole(path, np.zeros(9, "f4"))
    hdf5.try_in_child(path)
    assert len(tried) == 2
    hdf5.vouch_for(whole(tmp_path / "b.weights.h5"))
    hdf5.try_in_child(tmp_path / "b.weights.h5")
    assert len(tried) == 2


def test_a_file_that_changes_twice_within_a_step_of_the_clock_is_tried_twice(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(hdf5._CHILD, "answer", lambda path, limits: tried.append(path) or "")
    path, now = tmp_path / "a.weights.h5", time.time_ns()
    for value in (1, 2):
        whole(path, np.full(9, value, "f4"))
        os.utime(path, ns=(now, now))
        hdf5.try_in_child(path)
    assert len(tried) == 2


def test_one_child_serves_many_threads_and_comes_back_after_it_has_ended(tmp_path):
    paths = [whole(tmp_path / f"{number}.weights.h5") for number in range(8)]
    for path in paths:
        os.utime(path, (OLD, OLD))
    threads = [threading.Thread(target=hdf5.try_in_child, args=[path]) for path in paths]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(hdf5._known) == 8
    child = hdf5._CHILD._process
    child.stdin.close()  # it ends as it does when it has been idle for long
    child.wait()
    hdf5._known.clear()
    hdf5.try_in_child(paths[0])
    assert hdf5._CHILD._process.pid != child.pid


def test_the_child_imports_nothing_else_of_the_package():
    code = f"import sys, {hdf5.__name__}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True,
                          check=True)  # fmt: skip
    room = hdf5.__name__.split(".")
    assert {name for name in done.stdout.split() if name.startswith(room[0])} <= {
        ".".join(room[:depth]) for depth in range(1, 5)
    }


@pytest.mark.parametrize("executable", ["nowhere", "/bin/true", None])
def test_where_no_process_can_be_started_files_are_read_untried(tmp_path, monkeypatch, executable):
    monkeypatch.setattr(hdf5, "_CHILD", hdf5._Child())
    monkeypatch.setattr(hdf5.sys, "executable", executable)
    hdf5.try_in_child(whole(tmp_path / "a.weights.h5"))


def test_a_relative_path_is_this_processs_own(tmp_path, monkeypatch):
    hdf5.try_in_child(whole(tmp_path / "a.weights.h5"))
    hdf5._known.clear()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "b.weights.h5").write_bytes(zlib.decompress(base64.b64decode(FLIPPED["segv"])))
    with pytest.raises(hdf5.HarmfulFileError):
        hdf5.try_in_child("b.weights.h5")


@pytest.mark.slow
def test_the_files_that_got_through_before(shared_data):
    for path in sorted((shared_data / "hostile").iterdir()):
        if path.name.endswith((".weights.h5", ".keras")):
            with pytest.raises(WeightsError, match=path.name):
                read_tensors(pathlib.Path(os.fspath(path)))
