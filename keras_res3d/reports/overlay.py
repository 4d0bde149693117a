"""A clip with the heat of Grad-CAM over it."""

from __future__ import annotations

import numpy as np


def overlay(clip: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The clip with its heat over it: grey where there is none, then red to yellow; uint8 of the clip's shape."""
    grey = clip.mean(axis=-1, keepdims=True) * 0.6
    colour = np.stack([np.full_like(heat, 255), 255 * np.clip(2 * heat - 0.6, 0, 1), np.zeros_like(heat)], -1)
    share = 0.75 * heat[..., None]
    return np.clip(grey * (1 - share) + colour * share, 0, 255).astype(np.uint8)
