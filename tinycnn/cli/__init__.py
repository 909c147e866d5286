"""The command line: ``python -m tinycnn``. Importing it makes every command known."""

from tinycnn.cli import commands, deliver, export, study, sweep, zoo  # noqa: F401
