"""A spec's network: what it measures, and what computes it."""
