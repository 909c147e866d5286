"""What can go wrong, as the person at the terminal sees it: one line, and the exit code it ends with."""

import difflib

DONE, FAILED, USAGE, OVER_LIMIT, TARGET_MISSED, INTERRUPTED = 0, 1, 2, 3, 4, 130


class UserError(Exception):
    """A failure with a one-line explanation: what was wrong, where, and what to do."""

    exit_code = FAILED


class SpecError(UserError):
    """A spec, or a change to one, that cannot be run as it is."""

    exit_code = USAGE


class OverLimit(SpecError):
    """A network with more parameters than its spec's target allows."""

    exit_code = OVER_LIMIT


class DataMissing(UserError):
    """A data set that was neither found nor could be fetched; a damaged one is a plain ``UserError``."""


class Diverged(UserError):
    """A training loss that became NaN or infinite."""


def nearest(name, known, groups=None) -> str:
    """Return a hint for a name that is not among those known: the nearest one, or else all of them, or their groups."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(groups or known)}"
