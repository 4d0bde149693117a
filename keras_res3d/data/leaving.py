"""A process that ends while clips are being read: what reads is stopped while Python still runs.

A tf.data iterator reads in threads of its own that call Python. One that is alive when the interpreter is taken down is
destroyed by it, and destroying waits for a call that waits for the interpreter: for ever. So every iterator is closed
before, after the last line of the program. Nothing is held for that: what is alive is found at the end.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  its own hook, which waits for its threads, has to be there before ours
import gc
import threading
import weakref

from tensorflow.python.data.ops.iterator_ops import OwnedIterator
from tensorflow.python.data.ops.multi_device_iterator_ops import OwnedMultiDeviceIterator

from keras_res3d import asking
from keras_res3d.data.children import ENDING

_STOPS: weakref.WeakSet[threading.Event] = weakref.WeakSet()


def stop_flag() -> threading.Event:
    """A flag that asks a reader to stop; the end of the process sets those that are still held by somebody."""
    flag = threading.Event()
    _STOPS.add(flag)
    return flag


def _stop_readers() -> None:
    for flag in list(_STOPS):
        flag.set()


def _close_iterators() -> None:
    """Lets go of all tf.data iterators; the last reference closes each, and waits for the clips in work."""
    ENDING.set()
    asking.leave()
    # Its type alone is asked: `isinstance` runs the code of proxies, which may do anything.
    kinds = (OwnedIterator, OwnedMultiDeviceIterator)
    alive = [thing for thing in gc.get_objects() if issubclass(type(thing), kinds)]
    # First what reads, then the data that it reads from: children of these must not end under it.
    for iterator in alive:
        for name in ("_iterator_resource", "_multi_device_iterator_resource", "_components"):
            vars(iterator).pop(name, None)
    for iterator in alive:
        vars(iterator).clear()
    gc.collect()


# The readers' threads are waited for before the other hooks are called.
threading._register_atexit(_stop_readers)
atexit.register(_close_iterators)
