"""The same tasks in this process, in several, or as jobs of a cluster."""
