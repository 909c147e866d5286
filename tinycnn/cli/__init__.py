"""The commands of ``python -m tinycnn``, and what is seen while they run."""
