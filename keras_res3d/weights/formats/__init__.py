"""Weights files as named float arrays: one module for each format, one line for each in `registry`."""
