"""What people look at: tables of the nets, curves, confusion matrices, timelines, and HTML pages from templates."""
