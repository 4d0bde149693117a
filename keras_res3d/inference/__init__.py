"""Trained nets in use: a video's scores, and a stream's."""
