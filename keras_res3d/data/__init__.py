"""From video files to clips: lists of videos, frame arithmetic, decoding, cropping, batches, an embedded data set."""
