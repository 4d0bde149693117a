"""Stores for tests: memory://, a local S3 server, and a file system that fails as often as it is told to."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid

from keras_res3d import remote

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextlib.contextmanager
def s3_server():
    """A local S3 server with an empty bucket; this process and its children find it. Yields the bucket's address."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    remote._made.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        bucket = f"bucket-{uuid.uuid4().hex[:8]}"  # moto keeps what an earlier server of this process had
        s3fs.S3FileSystem(anon=False).mkdir(bucket)
        yield f"s3://{bucket}"
    finally:
        server.stop()
        remote._made.cache_clear()
        s3fs.S3FileSystem.clear_instance_cache()
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
