"""Parts of a folder of features: a module for each format of file."""
