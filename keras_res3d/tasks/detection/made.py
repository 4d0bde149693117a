"""Made long videos with known actions: the motions of the embedded data set, with quiet stretches between them.

Each video has one patch and one background. In a quiet stretch the patch stands where the last motion left it, and
then where the next one will begin.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from keras_res3d.data.sources.base import FRAME_RATE
from keras_res3d.data.sources.motion import CLASSES, MotionVideo, Scenes, draw_scenes, draw_videos, poses
from keras_res3d.data.types import Example, one_line
from keras_res3d.tasks.detection.moments import Annotations

# Frames of a motion and of a quiet stretch, drawn evenly between the two, both included.
MOTION, QUIET = (14, 60), (12, 80)


class Stretch(NamedTuple):
    """A part of a made video.

    Args:
        label: number of the motion; -1 is quiet.
        frames: how many.
    """

    label: int
    frames: int


class MadeVideos:
    """Long videos in which motions of the embedded data set alternate with quiet stretches, drawn when opened.

    Args:
        count: of videos, from 1.
        actions: motions in each, from 1.
        seed: a non-negative integer; the same arguments give the same videos.
        size: height and width in pixels, from 8.
    """

    mirror_safe = False
    reverse_safe = False
    classes = CLASSES

    def __init__(self, count: int, actions: int = 8, seed: int = 0, size: int = 32):
        if count < 1 or actions < 1 or seed < 0 or size < 8:
            raise ValueError(f"count, actions, seed, size are {count}, {actions}, {seed}, {size}; expected at least "
                             "1, 1, 0, 8")  # fmt: skip
        self.name, self.size = f"made/{seed}", size
        self._key, self._given = (seed, actions), (count, actions, seed, size)
        self.examples = tuple(Example(f"{self.name}/{number:04d}", 0) for number in range(count))
        self._plans = [_plan(np.random.default_rng((seed, number, actions)), actions) for number in range(count)]
        # Windows of a video are opened one by one, and drawing takes longer than a window does.
        self._drawn = functools.lru_cache(maxsize=64)(self._draw)

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.examples)

    def open(self, i: int, fps: float | None = None, strict: bool = False) -> MotionVideo:
        """Opens a video as `types.DataSet.open` does; it has the same frames at any rate, and no damage."""
        return MotionVideo(self.examples[i].path, self._drawn(range(len(self))[i]), fps)

    def __reduce__(self):  # to another process: what is drawn is drawn there again
        return MadeVideos, self._given

    def _draw(self, number: int) -> np.ndarray:
        rng = np.random.default_rng((*self._key, number, 1))
        return _drawn(rng, self._plans[number], self.size)

    def annotations(self) -> Annotations:
        """The motions, in seconds at 25 frames a second, and how long each video is."""
        videos, labels, spans, durations = [], [], [], {}
        for example, plan in zip(self.examples, self._plans, strict=True):
            ends = np.cumsum([stretch.frames for stretch in plan])
            durations[example.path] = float(ends[-1] / FRAME_RATE)
            for stretch, end in zip(plan, ends.tolist(), strict=True):
                if stretch.label >= 0:
                    videos.append(example.path)
                    labels.append(stretch.label)
                    spans.append(((end - stretch.frames) / FRAME_RATE, end / FRAME_RATE))
        return Annotations(self.name, self.classes, tuple(videos), np.array(labels), np.array(spans), durations)


def _plan(rng: np.random.Generator, actions: int) -> list[Stretch]:
    """Quiet and motion in turn, quiet at both ends."""
    plan = [Stretch(-1, int(rng.integers(QUIET[0], QUIET[1] + 1)))]
    for _ in range(actions):
        plan.append(Stretch(int(rng.integers(len(CLASSES))), int(rng.integers(MOTION[0], MOTION[1] + 1))))
        plan.append(Stretch(-1, int(rng.integers(QUIET[0], QUIET[1] + 1))))
    return plan


def _drawn(rng: np.random.Generator, plan: list[Stretch], size: int) -> np.ndarray:
    """The frames of a plan, uint8 `(frames, size, size, 3)`."""
    first = draw_scenes(rng, 1, 1)
    scenes = [draw_scenes(rng, 1, stretch.frames)._replace(patch=first.patch, background=first.background)
              for stretch in plan]  # fmt: skip
    # Where the patch stands before and after each motion; quiet stretches at the ends have one neighbour.
    places = {at: poses(scenes[at], np.array([stretch.label]), stretch.frames)[0]
              for at, stretch in enumerate(plan) if stretch.label >= 0}  # fmt: skip
    parts = []
    for at, stretch in enumerate(plan):
        if stretch.label >= 0:
            parts.append(draw_videos(scenes[at], np.array([stretch.label]), stretch.frames, size)[0])
            continue
        before = places.get(at - 1, places.get(at + 1))[-1 if at - 1 in places else 0]
        after = places.get(at + 1, places.get(at - 1))[0 if at + 1 in places else -1]
        half = stretch.frames // 2
        for place, frames in ((before, half), (after, stretch.frames - half)):
            parts.append(np.repeat(_still(scenes[at], place, size), frames, axis=0))
    return np.concatenate(parts)


def _still(scene: Scenes, place: np.ndarray, size: int) -> np.ndarray:
    """One frame with the patch at a place, uint8 `(1, size, size, 3)`."""
    standing = scene._replace(middle=place[None], speed=np.zeros_like(scene.speed))
    return draw_videos(standing, np.array([0]), 1, size)[0]
