"""Where the numbers come from: catalog, cache, readers of other formats, conversion, parity."""
