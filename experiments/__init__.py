"""One frozen SPEC per file: the iterations of this project, and the studies between them."""
