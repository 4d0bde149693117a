"""Pictures and reports: curves, confusion matrices, timelines, animated clips, HTML."""
