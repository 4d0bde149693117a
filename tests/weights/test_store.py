"""Downloads from a server that cuts, stalls, truncates and lies: the cache ends with the right file or with none."""

import hashlib
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import time
import types

import filelock
import numpy as np
import pytest
import requests
import urllib3

from keras_res3d.weights import download, store
from keras_res3d.weights.catalog import WeightsEntry
from keras_res3d.weights.download import DownloadError, Patience
from tests.weights.serving import serving

DATA = np.random.default_rng(0).bytes(700_000)
DIGEST = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(timeout=20, retries=2, backoff=0.01)
# For servers that stall. A busy machine may take as long without any fault, hence many retries.
SHORT = Patience(timeout=0.4, retries=50, backoff=0.01)
# For answers that are no HTTP, after which a server may say nothing: whichever error comes is right.
BRIEF = Patience(timeout=0.5, retries=1, backoff=0.01)
NAME = "net.caffemodel"
CHUNK = download.CHUNK_BYTES


@pytest.fixture
def server():
    with serving() as server:
        server.files[NAME] = DATA
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(store.MIRROR_VARIABLE, raising=False)
    # A cut costs an incomplete chunk: these servers cut after whole ones.
    monkeypatch.setattr(download, "CHUNK_BYTES", 1000)
    return tmp_path / "home" / "keras_res3d"


def entry_at(server, sha256=None, **fields):
    fields = {"url": server.url(f"{NAME}?dl=1"), **fields}
    return WeightsEntry(net="res3d18", tag="tiny", format="caffemodel", classes=3, labels="ucf101", licence="MIT",
                        trained_on="nothing", sha256=sha256, **fields)  # fmt: skip


def left(home):
    """What lies in the cache, locks aside."""
    return sorted(path.name for path in home.glob("*") if not path.name.endswith(".lock"))


def assert_fetched(path, home, recorded):
    assert path == home / NAME and path.read_bytes() == DATA
    assert left(home) == [NAME] + ([f"{NAME}.sha256"] if recorded else [])


@pytest.mark.parametrize("sha256", [DIGEST, None])
def test_fetches_once(server, home, sha256):
    entry = entry_at(server, sha256)
    for _ in range(3):
        assert_fetched(store.fetch(entry, QUICK), home, recorded=sha256 is None)
    assert server.requests == [(f"/{NAME}?dl=1", None)]
    if sha256 is None:
        assert (home / f"{NAME}.sha256").read_text() == f"{DIGEST}  {NAME}\n"


def test_cut_downloads_go_on_where_they_were_cut(server, home):
    server.faults = [{"cut": 300_000}, {"cut": 250_000}]
    assert_fetched(store.fetch(entry_at(server), QUICK), home, recorded=True)
    assert [wanted for _, wanted in server.requests] == [None, "bytes=300000-", "bytes=550000-"]


@pytest.mark.parametrize(
    "faults",
    [
        [{"stall": 300_000}],
        [{"status": 503}, {"status": 429}],
        [{"cut": 0}],
        [{"length": 5}],
        [{"cut": 1000}, {"no_range": True}],
        [{"cut": 1000}, {"wrong_range": 7}],
        [{"chunked": True}],
        [{"chunked": True, "cut": 5000}],
        [{"cut": 200_000}, {"stall": 200_000}, {"status": 500}, {"no_range": True, "cut": 9}, {}],
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(server, home, faults):
    server.faults = list(faults)
    assert_fetched(store.fetch(entry_at(server), SHORT), home, recorded=True)


def test_a_server_that_keeps_cutting_is_given_up_and_the_part_kept(server, home):
    server.faults = [{"cut": 50_000}] * 3
    with pytest.raises(DownloadError, match=r"given up after 3 attempts.*ended after 150000 of 700000"):
        store.fetch(entry_at(server), QUICK)
    assert left(home) == [f"{NAME}.part", f"{NAME}.part.json"]
    assert_fetched(store.fetch(entry_at(server), QUICK), home, recorded=True)
    assert server.requests[-1][1] == "bytes=150000-"


def test_progress_renews_the_patience(server, home, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS_BYTES", 50_000)
    server.faults = [{"cut": 60_000}] * 8
    assert_fetched(store.fetch(entry_at(server), QUICK), home, recorded=True)


def test_a_file_that_changed_in_between_starts_anew(server, home):
    server.faults = [{"cut": 300_000}] * 3
    server.files[NAME] = bytes(700_000)
    with pytest.raises(DownloadError):
        store.fetch(entry_at(server), Patience(timeout=20, retries=0, backoff=0.01))
    server.faults, server.files[NAME], server.etags[NAME] = [], DATA, '"second"'
    assert_fetched(store.fetch(entry_at(server), QUICK), home, recorded=True)
    assert server.requests[-1][1] == "bytes=300000-"


def test_a_weak_etag_does_not_vouch_for_a_part(server, home):
    server.etags[NAME] = 'W/"1"'
    server.faults = [{"cut": 300_000}]
    assert_fetched(store.fetch(entry_at(server), QUICK), home, recorded=True)
    assert [wanted for _, wanted in server.requests] == [None, None]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"html": True}, "web page"),
        ({"status": 404}, "404"),
        ({"status": 403}, "403"),
        ({"no_length": True}, "how long"),
        ({"status": 503}, "503"),
        ({"stall": 1000}, "timed out|given up"),
        ({"length": 10_000}, "ended after 700000 of 710000"),
    ],
    ids=str,
)
def test_what_does_not_pass_is_an_error_that_says_what_to_put_where(server, home, fault, message):
    server.faults = [fault] * 3
    patience = Patience(0.4, 2, 0.01) if "stall" in fault else QUICK
    with pytest.raises(DownloadError, match=message) as caught:
        store.fetch(entry_at(server), patience)
    for part in (server.url(NAME), str(home / NAME), store.MIRROR_VARIABLE):
        assert part in str(caught.value)
    assert isinstance(caught.value, OSError) and not (home / NAME).exists()


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Dropbox - 404</title>", b"\n <html><body>no</body></html>"])
def test_a_page_posing_as_a_file_is_refused(server, home, page):
    server.files[NAME] = page
    with pytest.raises(DownloadError, match="web page"):
        store.fetch(entry_at(server), QUICK)
    assert left(home) == []


def test_a_published_digest_is_enforced(server, home):
    with pytest.raises(DownloadError, match=rf"has SHA-256 {DIGEST}; expected {'0' * 64} \(published\).*was removed"):
        store.fetch(entry_at(server, "0" * 64), QUICK)
    assert left(home) == []


def test_a_length_that_lies_short_does_not_pass_a_digest(server, home):
    server.faults = [{"length": -1000, "cut": 699_000}]
    with pytest.raises(DownloadError, match="has SHA-256"):
        store.fetch(entry_at(server, DIGEST), QUICK)
    assert left(home) == []


def test_the_digest_of_the_first_download_is_enforced(server, home):
    store.fetch(entry_at(server), QUICK).unlink()
    server.files[NAME] = bytes(10)
    with pytest.raises(DownloadError, match=rf"expected {DIGEST} \(recorded.*remove .*\.sha256"):
        store.fetch(entry_at(server), QUICK)
    assert left(home) == [f"{NAME}.sha256"]
    (home / f"{NAME}.sha256").write_text("nonsense")
    with pytest.raises(DownloadError, match="does not begin with a SHA-256"):
        store.fetch(entry_at(server), QUICK)


def test_a_file_that_rotted_in_the_cache_is_set_aside_and_fetched_again(server, home, capsys):
    path = store.fetch(entry_at(server), QUICK)
    path.write_bytes(DATA[:-1] + b"\0")
    assert store.fetch(entry_at(server), QUICK).read_bytes() == DATA
    assert "moved to net.caffemodel.rejected" in capsys.readouterr().err
    assert (home / f"{NAME}.rejected").exists()


def test_a_file_put_into_the_cache_by_hand_is_taken(server, home):
    home.mkdir(parents=True)
    (home / NAME).write_bytes(DATA)
    assert_fetched(store.fetch(entry_at(server, url="http://127.0.0.1:9/net"), QUICK), home, recorded=True)


def test_offline(home, tmp_path):
    entry = WeightsEntry("c3d", "x", "http://127.0.0.1:9/net", "caffemodel", 3, "ucf101", "MIT", "nothing")
    with pytest.raises(DownloadError, match=f"refused.*put it at {home / NAME}"):
        store.fetch(entry, QUICK)


def test_a_name_that_cannot_be_resolved_is_told_at_once(server, home, monkeypatch):
    calls, plain = [], requests.get

    def fail(url, **options):
        calls.append(url)
        if len(calls) == 2:
            return plain(url, **options)
        # As requests and urllib3 wrap it.
        error = download.socket.gaierror(-2, "Name or service not known")
        name = urllib3.exceptions.NameResolutionError("localhost", None, error)
        name.__cause__ = error
        raise requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, url, name))

    monkeypatch.setattr(requests, "get", fail)
    with pytest.raises(DownloadError, match=r"cannot be resolved.*Name or service not known"):
        store.fetch(entry_at(server), QUICK)
    assert len(calls) == 1
    server.faults = [{"cut": 1000}]
    with pytest.raises(DownloadError, match="given up after 3 attempts"):
        store.fetch(entry_at(server), QUICK)
    assert len(calls) == 4


def test_a_row_without_an_address_says_where_its_file_may_be_put(server, home, tmp_path, monkeypatch):
    entry = entry_at(server, url="", published_as=NAME)
    with pytest.raises(DownloadError, match=rf"no public address.*If you have {NAME}, put it at {home / NAME}, or set"):
        store.fetch(entry, QUICK)
    (tmp_path / NAME).write_bytes(DATA)
    monkeypatch.setenv(store.MIRROR_VARIABLE, str(tmp_path))
    assert store.fetch(entry, QUICK) == tmp_path / NAME
    monkeypatch.setenv(store.MIRROR_VARIABLE, server.url(""))
    assert_fetched(store.fetch(entry, QUICK), home, recorded=True)
    monkeypatch.delenv(store.MIRROR_VARIABLE)
    assert_fetched(store.fetch(entry, QUICK), home, recorded=True)


def test_mirror_address(server, home, monkeypatch):
    monkeypatch.setenv(store.MIRROR_VARIABLE, server.url("mirror/"))
    server.files[f"mirror/{NAME}"] = DATA
    assert_fetched(store.fetch(entry_at(server, url="http://127.0.0.1:9/net.caffemodel"), QUICK), home, recorded=True)
    assert server.requests == [(f"/mirror/{NAME}", None)]


def test_mirror_folder_is_read_where_it_lies(server, home, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    monkeypatch.setenv(store.MIRROR_VARIABLE, str(mirror))
    entry = entry_at(server, url="http://127.0.0.1:9/net")
    with pytest.raises(DownloadError, match=r"mirror .*has no file net\.caffemodel.*Put http"):
        store.fetch(entry, QUICK)
    for page, fault in ((b"<html>", "is a web page"), (b"", "is empty")):
        (mirror / NAME).write_bytes(page)
        with pytest.raises(DownloadError, match=fault):
            store.fetch(entry, QUICK)
    (mirror / NAME).unlink()
    for name in ("net", NAME):
        (mirror / name).write_bytes(DATA)
        assert store.fetch(entry, QUICK) == mirror / name
    (mirror / NAME).write_bytes(b"other")
    with pytest.raises(DownloadError, match=r"from KERAS_RES3D_WEIGHTS\) has SHA-256"):
        store.fetch(entry, QUICK)
    assert left(home) == [f"{NAME}.sha256"] and server.requests == []


def test_redirects_are_followed_and_keep_the_range(server, home):
    server.files["moved"] = b""
    hop = {"location": server.url(NAME)}
    server.faults = [hop, {"cut": 1000}, hop]
    path = store.fetch(entry_at(server, url=server.url("moved")), QUICK)
    assert path.read_bytes() == DATA and server.requests[-1] == (f"/{NAME}", "bytes=1000-")


def test_https_is_not_left(server, home, monkeypatch):
    plain = requests.get
    monkeypatch.setattr(requests, "get", lambda url, **options: plain(server.url(NAME), **options))
    with pytest.raises(DownloadError, match="not https"):
        store.fetch(entry_at(server, url=f"https://localhost/{NAME}"), QUICK)


def test_no_hop_of_a_redirect_may_leave_https():
    part = download._Part(pathlib.Path("x"), "http://mirror/net")
    answer = types.SimpleNamespace(url="https://a/net", is_redirect=True, headers={"Location": "http://b/net"})
    with pytest.raises(DownloadError, match="sends on to http://b/net, which is not https"):
        download._stays_safe(answer, part)
    answer.headers["Location"] = "/elsewhere"
    download._stays_safe(answer, part)
    answer.url = "http://a/net"
    download._stays_safe(answer, part)


def test_an_answer_without_end_does_not_fill_the_disk(server, home):
    server.faults = [{"chunked": True, "endless": True}]
    part = home.parent / "part"
    home.parent.mkdir(exist_ok=True)
    with pytest.raises(DownloadError, match="sends more than 5,000,000 bytes"):
        download.download(server.url(NAME), part, "x", QUICK, most=5_000_000)
    assert not part.exists()
    with pytest.raises(DownloadError, match=r"announces [\d,]+ bytes; expected at most 1,000"):
        download.download(server.url(NAME), part, "x", QUICK, most=1000)


def test_a_disk_that_fills_up_on_the_way_ends_it(server, home, monkeypatch):
    server.faults = [{"chunked": True, "endless": True}]
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10 << 20}))
    with pytest.raises(DownloadError, match="is full but for 64 MB"):
        download.download(server.url(NAME), tmp_part(home), "x", QUICK)


def tmp_part(home):
    home.parent.mkdir(exist_ok=True)
    return home.parent / "part"


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 3000\r\n\r\n"


@pytest.mark.parametrize("data", [HEADERS + bytes(3000), HEADERS, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 3000])
def test_a_server_that_drips_is_given_up_as_a_whole(server, home, data):
    """Each byte comes in time, so that no read ever times out; in the second case all but the last come at once."""
    server.faults = [{"raw": data, "drip": 0.05}] * 2
    start = time.monotonic()
    with pytest.raises(DownloadError, match="given up after 2 attempts: fewer than 1,000 bytes a second came"):
        download.download(server.url(NAME), tmp_part(home), "x", Patience(5, 1, 0.01, grace=0.4))
    assert time.monotonic() - start < 60


LENGTHS = ["3000x", "-1", "\u00b2", "", "1e3", "9" * 5000, "3 000", "0x10"]


@pytest.mark.parametrize("length", LENGTHS, ids=range(len(LENGTHS)))
def test_a_length_that_is_no_number_is_told(server, home, length):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: " + length.encode("latin-1") + b"\r\n\r\n" + bytes(3000)
    server.faults = [{"raw": answer}] * 3
    said = f"the server says that the file has {length[:40]!r} bytes, which is no length"
    with pytest.raises(DownloadError, match=f"^{re.escape(said)}$"):
        download.download(server.url(NAME), tmp_part(home), "x", BRIEF)


@pytest.mark.parametrize("answer", [
    b"", b"\0" * 100, b"HTTP/1.1 999 \xff\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500,
    b"HTTP/1.1 302 Found\r\nLocation: http://1\xb2.0.\xb1:41147/x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:41199999999999999999999/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-5/\xb2\r\nContent-Length: 5\r\n\r\nhello",
], ids=range(12))  # fmt: skip
def test_answers_that_are_no_http_are_one_kind_of_error(server, home, answer):
    server.faults = [{"raw": answer or b"\r\n"}] * 3
    with pytest.raises(DownloadError):
        download.download(server.url(NAME), tmp_part(home), "x", BRIEF)


def test_the_answers_that_got_through_before(server, home, shared_data):
    answers = sorted((shared_data / "hostile").glob("http_*.bin"))
    assert answers
    for path in answers:
        server.faults = [{"raw": path.read_bytes()}] * 3
        with pytest.raises(DownloadError):
            download.download(server.url(NAME), tmp_part(home), "x", BRIEF)


def test_a_full_disk_is_told_before_and_during(server, home, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(DownloadError, match="MB free in"):
        store.fetch(entry_at(server), QUICK)
    monkeypatch.undo()
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    part = home.parent / "part"
    home.parent.mkdir(exist_ok=True)
    part.symlink_to("/dev/full")
    monkeypatch.setattr(download.pathlib.Path, "unlink", lambda self, missing_ok=False: None)
    with pytest.raises(DownloadError, match="cannot be written: No space left"):
        download.download(server.url(NAME), part, "x", QUICK)


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match=r"KERAS_HOME|put it at"):
        store.fetch(entry_at(server), QUICK)


def test_progress_is_shown_on_a_terminal_alone(server, home):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal, pipe = Terminal(), io.StringIO()
    store.fetch(entry_at(server), QUICK, terminal).unlink()
    assert "res3d18/tiny  [========================]  0.7 of 0.7 MB\n" in terminal.getvalue()
    store.fetch(entry_at(server), QUICK, pipe)
    assert pipe.getvalue() == ""


CHILD = textwrap.dedent("""
    import sys
    from keras_res3d.weights import store
    from keras_res3d.weights.catalog import WeightsEntry
    from keras_res3d.weights.download import Patience
    entry = WeightsEntry("res3d18", "tiny", sys.argv[1], "caffemodel", 3, "ucf101", "MIT", "nothing")
    print(store.fetch(entry, Patience(20, 2, 0.01)))
""")


def start_child(url):
    return subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


def test_killed_midway_then_resumed(server, home):
    server.faults = [{"stall": 400_000}]
    child, part = start_child(server.url(NAME)), home / f"{NAME}.part"
    try:
        wait_until(lambda: child.poll() is not None or (part.exists() and part.stat().st_size >= 262_144))
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert left(home) == [f"{NAME}.part", f"{NAME}.part.json"]
    size = part.stat().st_size
    # The dead process held the lock; this one must get it all the same.
    assert_fetched(store.fetch(entry_at(server, url=server.url(NAME)), QUICK), home, recorded=True)
    assert server.requests[-1][1] == f"bytes={size}-"


def test_killed_after_the_last_byte(server, home):
    home.mkdir(parents=True)
    (home / f"{NAME}.part").write_bytes(DATA)
    state = {"url": server.url(NAME), "validator": '"net.caffemodel-1"', "total": len(DATA)}
    (home / f"{NAME}.part.json").write_text(json.dumps(state))
    assert_fetched(store.fetch(entry_at(server, url=server.url(NAME)), QUICK), home, recorded=True)
    assert server.requests == []


@pytest.mark.parametrize("state", ["", "[]", '{"url": 3}', '{"url": "http://elsewhere", "validator": "\\"x\\""}'])
def test_a_part_of_unknown_origin_is_not_continued(server, home, state):
    home.mkdir(parents=True)
    (home / f"{NAME}.part").write_bytes(b"x" * 900_000)
    (home / f"{NAME}.part.json").write_text(state)
    assert_fetched(store.fetch(entry_at(server), QUICK), home, recorded=True)
    assert server.requests[0][1] is None


def test_a_part_longer_than_the_file_is_dropped(server, home):
    home.mkdir(parents=True)
    (home / f"{NAME}.part").write_bytes(b"x" * 900_000)
    state = {"url": server.url(NAME), "validator": '"net.caffemodel-1"', "total": 990_000}
    (home / f"{NAME}.part.json").write_text(json.dumps(state))
    assert_fetched(store.fetch(entry_at(server, url=server.url(NAME)), QUICK), home, recorded=True)


def test_several_processes_download_once(server, home):
    server.faults = [{"stall": 400_000}]
    children = [start_child(server.url(NAME)) for _ in range(3)]
    try:
        wait_until(lambda: len(server.requests) > 0)
        server.release.set()
        outputs = [child.communicate(timeout=120) for child in children]
    finally:
        for child in children:
            child.kill()
    assert [out.decode().strip() for out, _ in outputs] == [str(home / NAME)] * 3, outputs
    assert_fetched(home / NAME, home, recorded=True)
    assert [wanted for _, wanted in server.requests] == [None, f"bytes={400_000 // CHUNK * CHUNK}-"]


def test_without_locks_each_process_has_a_part_of_its_own(server, home, monkeypatch):
    def no_locks(self, timeout):
        raise OSError("no locks on this file system")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    server.faults = [{"cut": 1000}] * 3
    with pytest.raises(DownloadError):
        store.fetch(entry_at(server), QUICK)
    assert left(home) == [f"{NAME}.{os.getpid()}.part", f"{NAME}.{os.getpid()}.part.json"]
    assert_fetched(store.fetch(entry_at(server), QUICK), home, recorded=True)


def test_reject_withdraws_an_unpublished_file_alone(server, home):
    entry = entry_at(server)
    path = store.fetch(entry, QUICK)
    assert "rejected" in store.reject(entry, path)
    assert left(home) == [f"{NAME}.rejected"]
    path = store.fetch(entry_at(server, DIGEST), QUICK)
    assert "published" in store.reject(entry_at(server, DIGEST), path) and path.exists()


def test_states(server, home):
    entry = entry_at(server)
    assert store.state_of(entry) == ""
    store.fetch(entry, QUICK)
    assert store.state_of(entry) == "cached"
    store.converted_path(entry).write_bytes(b"")
    assert store.state_of(entry) == "converted"
