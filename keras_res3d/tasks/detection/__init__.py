"""Finding actions in long videos, as S-CNN does: segments, labels, metric, networks; one idea a module."""
