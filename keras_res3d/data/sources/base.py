"""What a video is made of when any of its frames can be read by its number: clips from single frames."""

import numpy as np


def read_clips(read, clips):
    """Yield each clip, (frames, height, width, 3), frames read one by one, each once while later clips still need it.

    read: gives the frame of a number. clips: arrays of frame numbers.
    """
    clips = [np.asarray(clip, np.int64).tolist() for clip in clips]
    last_use = {index: number for number, clip in enumerate(clips) for index in clip}
    held = {}
    for number, clip in enumerate(clips):
        for index in clip:
            if index not in held:
                held[index] = read(index)
        yield np.stack([held[index] for index in clip])
        for index in set(clip):
            if last_use[index] == number:
                del held[index]


class FrameSource:
    """The `frames` and `clips` of `decode.Video` for what has `path`, `num_frames` and `_frame(index, size)`."""

    def frames(self, indices, size=None):
        """Yield (index, frame) for each index, in the order given; a frame is uint8 RGB (height, width, 3).

        size: (height, width), in place of the video's own. Raises ValueError on indices out of range.
        """
        indices = np.asarray(list(indices), np.int64)
        self._check(indices)
        for index in indices.tolist():
            yield index, self._frame(index, size)

    def clips(self, clips, size=None):
        """Yield each clip, in the order given, as uint8 RGB (frames, height, width, 3); see `decode.Video.clips`."""
        clips = [np.asarray(clip, np.int64) for clip in clips]
        for clip in clips:
            self._check(clip)
        return read_clips(lambda index: self._frame(index, size), clips)

    def _check(self, indices):
        if indices.size and (indices.min() < 0 or indices.max() >= self.num_frames):
            raise ValueError(f"{self.path}: frames {indices.min()}..{indices.max()} were asked for; "
                             f"expected 0..{self.num_frames - 1}")

    def _frame(self, index, size):
        """The frame of a number, uint8 RGB, resized to (height, width) `size`; None: as stored."""
        raise NotImplementedError
