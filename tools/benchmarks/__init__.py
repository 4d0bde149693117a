"""The suites of `tools/benchmark.py`, one module each: `run(options)` yields the results."""
