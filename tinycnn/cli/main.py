"""What all commands share: how they are declared, how results and errors are printed, and exit codes.

Results go to stdout, everything else to stderr. Nothing heavy is imported here, so that ``--help`` answers at once.
"""

import contextlib
import functools
import json
import os
import re
import shlex
import shutil
import signal
import sys
import textwrap
from pathlib import Path

import click

from tinycnn import ROOT
from tinycnn.errors import DONE, FAILED, INTERRUPTED, USAGE, UserError, visible
from tinycnn.track.address import shown

PROGRAM = "python -m tinycnn"
EXIT_CODES = """\b
exit codes:
  0    done
  1    failed: data, store, machine or a damaged file, or a loss that became
       infinite
  2    bad usage: an unknown command, option or field, or an invalid value
  3    more parameters than the target allows; of a study: too few of its
       networks keep to the limit
  4    with --require-target: the target was missed, or not judged
  5    trained, but the store lacks results: `resume` delivers them
  6    a rerun, or a file of the zoo, gave other numbers
  130  interrupted"""

program = click.Group("tinycnn", help="Train and track very small convolutional networks.", epilog=EXIT_CODES)
program.list_commands = lambda context: list(program.commands)  # in the order of their definition, not sorted


def command(*options, examples: tuple[str, ...], name: str | None = None, slow: bool = True):
    """Make a command of a function, with these click options and --json.

    The function returns its result as plain values, the same as a text, and, unless it is DONE, the exit code or an
    error to end with. A ``slow`` one imports for seconds; where it is the process's own command, it says so first.
    """

    def register(function):
        @functools.wraps(function)
        def call(as_json, **values):
            if slow and click.get_current_context().obj == "process":
                note(f"{' '.join(sys.argv[1:3])}: starting", label="")
            # a network of the user's own may print when it is built
            with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
                result, text, end = (*function(**values), DONE)[:3]
            if as_json:
                print(json.dumps(result, indent=2, allow_nan=False, default=str))
            elif text:
                shown = "\n".join(map(visible, as_called(text).split("\n")))
                print(fitted(shown, sys.stdout), flush=True)
            if isinstance(end, UserError):
                raise end
            return end or DONE

        as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
        for option in (as_json, *reversed(options)):
            call = option(call)
        lines = "\n".join(f"  {PROGRAM} {each}" for each in examples)
        return program.command(name, epilog=f"\b\nexamples:\n{lines}")(call)

    return register


def note(line: str, label: str = "note: "):
    """Print one line on stderr."""
    print(fitted(f"{label}{visible(as_called(line))}", sys.stderr), file=sys.stderr, flush=True)


def fitted(text: str, stream) -> str:
    """Break lines at words to fit a terminal, but neither tables nor what stands in backticks, which is pasted."""
    columns, lines = shutil.get_terminal_size().columns if stream.isatty() else 10**6, []
    for line in text.split("\n"):
        if len(line) > columns and not line.startswith("|"):
            starts = [match.end() for match in re.finditer(r"(^|\S) {2,}", line[: columns // 2])]  # of columns
            whole = re.sub("`[^`]*`", lambda match: match[0].replace(" ", "\0"), line)
            shape = {"subsequent_indent": " " * max(starts, default=0), "break_on_hyphens": False}
            line = textwrap.fill(whole, columns, break_long_words=False, **shape).replace("\0", " ")
        lines.append(line)
    return "\n".join(lines)


def as_called(text: str) -> str:
    """Return a text with its commands written as this one was called, by make or with a Python, so as to be pasted."""
    here = Path.cwd() == ROOT
    text = re.sub(rf"({PROGRAM} (?:resume|rerun|close|register)) ([0-9a-f]{{8}})[0-9a-f]{{24}}", r"\1 \2", text)
    if here and "MAKELEVEL" in os.environ:
        text = re.sub(rf"{PROGRAM} (resume|rerun|close|register) ([0-9a-f]+)", r"make \1 RUN=\2", text)
        text = re.sub(rf"{PROGRAM} search ([^\s`;]+)", r"make study STUDY=\1", text)
    python = "python" if shutil.which("python") == sys.executable else sys.executable
    python = python.removeprefix(f"{ROOT}/") if here else python
    text = text.replace(PROGRAM, f"{shlex.quote(python)} -m tinycnn")
    return text if here else text.replace("`make ", f"`make -C {shlex.quote(str(ROOT))} ")


def main(arguments: list[str] | None = None) -> int:
    """Run one command, by default that of the process, and return its exit code; a failure is one line on stderr."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they all end a run as Ctrl-C does
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _interrupt)
    sys.path.insert(0, str(ROOT))  # the current folder may have an ``experiments`` or ``analysis`` of its own
    caller, words = ("process", sys.argv[1:]) if arguments is None else (None, arguments)
    try:
        with program.make_context(PROGRAM, _repeat_set(words) or ["--help"], obj=caller) as context:
            return program.invoke(context)
    except click.exceptions.Exit as left:  # after --help
        return left.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        where = path.removeprefix(PROGRAM).lstrip()
        return _fail(f"{where and where + ': '}{error.format_message().rstrip('.')}; see `{path} --help`", USAGE)
    except UserError as error:
        return _fail(error, error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of stdout, e.g. head, has ended
        return DONE
    except Exception as error:
        if os.environ.get("TINYCNN_DEBUG"):
            raise
        return _fail(f"{type(error).__name__}: {error} (TINYCNN_DEBUG=1 shows where)", FAILED)
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit


def _interrupt(number, frame):
    """Answer at once: to end what is being done, and to record that, may take seconds."""
    os.write(2, b"\ninterrupting ...\n")  # print is not to be used here, it may be what was interrupted
    raise KeyboardInterrupt


def _repeat_set(words: list[str]) -> list[str]:
    """Turn ``--set a=1 b=2`` into ``--set a=1 --set b=2``, the only form that click knows."""
    repeated = []
    for word in words:
        if "=" in word and not word.startswith("-") and repeated[-2:-1] == ["--set"]:
            repeated.append("--set")
        repeated.append(word)
    return repeated


def _fail(problem, code: int) -> int:
    note(" ".join(shown(str(problem)).split()), label="tinycnn: ")
    return code
