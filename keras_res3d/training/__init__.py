"""Training: what is minimised, by what schedule, and what is written down on the way."""
