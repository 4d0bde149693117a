"""Studies: designs of one question at one budget, trained alike and compared, as the paper's search does it."""
