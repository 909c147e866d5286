"""Frames and arrays -> matplotlib figures."""
