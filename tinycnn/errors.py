"""What can go wrong, as the person at the terminal sees it: one line, and the exit code it ends with."""

import difflib
import reprlib

DONE, FAILED, USAGE, OVER_LIMIT, TARGET_MISSED, UNDELIVERED, DIFFERENT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130


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


class Interrupted(UserError):
    """A training that was told to end, and can be taken up again."""

    exit_code = INTERRUPTED


class Undelivered(UserError):
    """A training that went to its end, but whose results the store has not taken."""

    exit_code = UNDELIVERED

    def __init__(self, trouble: str, run_id: str):
        super().__init__(
            f"{trouble}. The results wait in a checkpoint: `python -m tinycnn resume {run_id}` delivers them"
        )


class StoreTrouble(UserError):
    """A store that does not take, or give, what it should: out of reach, locked, full or read-only."""


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60
_SHORT.maxlist = _SHORT.maxtuple = 10


def shown(value) -> str:
    """Return a value as an error line shows it: as Python writes it, but never long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


def visible(text: str) -> str:
    """Spell out in ``text`` what would move the cursor, colour the terminal or could not be printed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name, known, groups=None) -> str:
    """Return a hint for a name that is not among those known: the nearest one, or else all of them, or their groups."""
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(groups or known)}"
