"""Writing files whole or not at all."""

import os
import pathlib
import tempfile


def write_atomically(path, data):
    """Writes beside, syncs, renames: a reader sees the old file or the new one, never a part.

    data: bytes, or text, which is written as UTF-8. The folder is made if missing.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        pathlib.Path(name).unlink(missing_ok=True)
        raise
