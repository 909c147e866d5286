"""The same tasks in this process or in several."""
