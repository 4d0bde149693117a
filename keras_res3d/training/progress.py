"""What a run says while it goes: a bar, a line per epoch, TensorBoard's logs."""

from __future__ import annotations

import pathlib
import sys
import time

import keras


class Clock:
    """Seconds and clips since it was made, and the part spent waiting for data.

    Args:
        feed: its `waited` is read.
    """

    def __init__(self, feed):
        self._feed, self._waited, self._start, self.clips = feed, feed.waited, time.perf_counter(), 0

    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def measures(self) -> dict[str, float]:
        """clips_per_second, and data_wait: the share of the time in which the network waited for clips."""
        seconds = max(self.seconds(), 1e-9)
        waited = self._feed.waited - self._waited
        return {"clips_per_second": self.clips / seconds, "data_wait": min(1.0, waited / seconds)}


class Bar:
    """Keras' progress bar over the steps of an epoch, on a terminal; elsewhere nothing."""

    def __init__(self, steps: int, title: str):
        self._bar = None
        if sys.stdout.isatty():
            print(title)
            names = ["loss", "clip@1", "clips/s", "waiting for data %"]
            self._bar = keras.utils.Progbar(steps, stateful_metrics=names)

    def update(self, done: int, means: dict[str, float], measures: dict[str, float]) -> None:
        if self._bar is not None:
            speed = [("clips/s", measures["clips_per_second"]), ("waiting for data %", 100 * measures["data_wait"])]
            self._bar.update(done, [*means.items(), *speed], finalize=False)

    def close(self) -> None:
        if self._bar is not None:
            print()


def epoch_line(row: dict[str, float], epochs: int) -> str:
    """One epoch in a line: "epoch 3/20: 12 s, 21.3 clips/s, 4 % waiting for data; loss 1.234, clip@1 0.456"."""
    speed = f"{row['clips_per_second']:.3g} clips/s, {row['data_wait']:.0%} of the time waiting for data"
    scores = ", ".join(f"{name} {row[name]:.3f}" for name in row if name in ("loss", "clip@1") or name[:4] == "val_")
    return f"epoch {int(row['epoch'])}/{epochs}: {row['seconds']:.0f} s, {speed}; {scores}"


class TensorBoard:
    """Every epoch's numbers in TensorBoard's format, in the folder `tensorboard` of the run.

    Raises:
        ImportError: TensorBoard is not installed; names the extra.
    """

    def __init__(self, folder):
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise ImportError(
                'tensorboard is not installed; it comes with the extra: pip install "keras-res3d[tensorboard]"'
            ) from None
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(str(pathlib.Path(folder) / "tensorboard"))

    def write(self, row: dict[str, float], step: int) -> None:
        """The row's values under their names, at this step."""
        import tensorflow as tf

        with self._writer.as_default():
            for name, value in row.items():
                tf.summary.scalar(name, value, step=step)
        self._writer.flush()
