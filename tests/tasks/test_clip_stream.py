"""The threads of a stream of clips: none outlives it, whatever ends it."""

import threading

import pytest

from keras_res3d.data.clips import Sampling
from keras_res3d.tasks.clip_stream import ClipStream


def test_threads_end_where_the_machine_has_no_more_of_them(monkeypatch):
    start, started = threading.Thread.start, []

    def starting(thread):
        if len(started) == 3:
            raise RuntimeError("can't start new thread")
        start(thread)
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    waiting = threading.Event()

    def numbers():
        waiting.wait(0.2)  # the threads are alive when the fourth cannot be started
        yield from ()

    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(ClipStream([], numbers(), Sampling(frames=4), 4, workers=8))
    assert len(started) == 3 and not any(thread.is_alive() for thread in started)
