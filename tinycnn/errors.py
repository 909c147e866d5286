"""What can go wrong, as the user sees it: one line, and the exit code that it ends with."""

import difflib

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
    """A data set that was neither found nor could be downloaded; a damaged one is a plain ``UserError``."""


class Diverged(UserError):
    """A training loss that became NaN or infinite."""


class Interrupted(UserError):
    """A training that was interrupted and can be resumed."""

    exit_code = INTERRUPTED


class Undelivered(UserError):
    """A training that finished, but whose results the store has not accepted."""

    exit_code = UNDELIVERED

    def __init__(self, problem: str, command: str):
        super().__init__(f"{problem}. The results are kept in checkpoints: `python -m tinycnn {command}` delivers them")


class OtherNumbers(UserError):
    """A file whose accuracy is not the one that its card states."""

    exit_code = DIFFERENT


class StoreTrouble(UserError):
    """A store that cannot be written or read: unreachable, locked, full or read-only."""


def shown(value) -> str:
    """Return a value as an error line shows it: its ``repr``, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def one_line(error: Exception) -> str:
    """Return the type and text of an error of unknown origin in one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def visible(text: str) -> str:
    """Escape in ``text`` what is not printable, such as terminal control codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name, known, groups=None) -> str:
    """Return a hint for an unknown name: the nearest known one, or else all of them, or their groups."""
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(groups or known)}"
