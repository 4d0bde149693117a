"""Lists of videos on disk, one module for each way in which they are published; `registry` names them."""
