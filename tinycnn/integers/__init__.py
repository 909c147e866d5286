"""A network in whole numbers: its operations, their ranges, and what a device computes. ``export`` writes it as C."""
