"""Stores for tests: memory://, local servers of S3 and of Google Cloud Storage, and one that fails when it is told to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import uuid

import pytest

from keras_res3d import remote
from keras_res3d.remote import StorePath

SCHEMES = ("memory", "s3", "gs")
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextlib.contextmanager
def store_of(scheme):
    """Yields an empty folder of such a store; skips where packages are missing."""
    pytest.importorskip("fsspec")
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"  # moto keeps what an earlier server of this process had
    with {"memory": contextlib.nullcontext, "s3": _s3_server, "gs": _gs_server}[scheme](bucket):
        yield StorePath(f"{scheme}://{bucket}/folder")


@contextlib.contextmanager
def _s3_server(bucket):
    """A local S3 server with an empty bucket, which this process and its children find."""
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with _known({**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}, s3fs.S3FileSystem):
            s3fs.S3FileSystem(anon=False).mkdir(bucket)
            yield
    finally:
        server.stop()


@contextlib.contextmanager
def _gs_server(bucket):
    """A local server of Google Cloud Storage, as `_s3_server`."""
    gcsfs = pytest.importorskip("gcsfs")
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket)
    server.start()
    try:
        with _known({"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}, gcsfs.GCSFileSystem):
            yield
    finally:
        server.stop()


@contextlib.contextmanager
def _known(settings, system):
    """Sets variables of the environment, and forgets the file systems that were made without them."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        remote._made.cache_clear()
        system.clear_instance_cache()
        yield
    finally:
        remote._made.cache_clear()
        system.clear_instance_cache()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class Failures:
    """How many calls of the store flaky:// are to fail, of which methods (None: any), and those that came.

    Attributes:
        calls: (method, whether it failed) of each.
    """

    def __init__(self):
        self.methods, self.left, self.error, self.calls = None, 0, ConnectionResetError("the connection was lost"), []

    def meet(self, method: str) -> None:
        fails = self.left > 0 and (self.methods is None or method in self.methods)
        self.calls.append((method, fails))
        self.left -= fails
        if fails:
            raise self.error


@contextlib.contextmanager
def flaky(monkeypatch):
    """The store flaky://, which keeps what it has in memory. Yields its `Failures`."""
    from fsspec.implementations.memory import MemoryFileSystem

    failures = Failures()

    class Flaky(MemoryFileSystem):
        protocol, cachable = "flaky", False
        store, pseudo_dirs = {}, [""]

        def info(self, path, **more):
            failures.meet("info")
            return super().info(path, **more)

        def ls(self, path, detail=True, **more):
            failures.meet("ls")
            return super().ls(path, detail=detail, **more)

        def cat_file(self, path, start=None, end=None, **more):
            failures.meet("cat_file")
            return super().cat_file(path, start=start, end=end, **more)

        def put_file(self, lpath, rpath, **more):
            failures.meet("put_file")
            return super().put_file(lpath, rpath, **more)

    system = Flaky()
    made = remote._made
    monkeypatch.setitem(remote.STORES, "flaky", "store")
    monkeypatch.setattr(remote, "_made", lambda scheme, process: system if scheme == "flaky" else made(scheme, process))
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 0.001)
    yield failures


def lose(item: int):
    """A function for other processes: item 2 meets a store that does not answer, others are bad videos."""
    raise remote.StoreError("s3://b/2.mp4 cannot be read") if item == 2 else ValueError("a bad video")
