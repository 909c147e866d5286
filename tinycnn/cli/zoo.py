"""The command that lists, verifies and makes the records of the zoo, and its page."""

from pathlib import Path

import click

from tinycnn.cli.main import command, note
from tinycnn.cli.options import OFFLINE, full_id
from tinycnn.errors import DONE, UserError


@command(
    click.argument("names", nargs=-1, metavar="[NAME]...", help="Records (default: all)."),
    click.option("--list", "only_list", is_flag=True, help="Check the checksums alone: a second."),
    click.option("--add", metavar="RUN_ID", help="Make a record of a finished run of several seeds, and the page."),
    click.option("--as", "name", metavar="NAME", help="With --add: the name of the record."),
    click.option("--page", is_flag=True, help="Write the page index.html anew."),
    click.option("--folder", metavar="FOLDER", help="Another zoo than zoo/."),
    OFFLINE,
    examples=("zoo", "zoo mnist_8k", "zoo --add 98597d8b --as mnist_exp3"),
)  # fmt: skip
def zoo(names, only_list, add, name, page, folder, offline):
    """List the trained networks in zoo/, and verify that each file is as accurate as its card states.

    A damaged file ends with exit code 1, an accuracy that is not that of the card with 6.
    """
    from tinycnn import zoo

    if bool(add) != bool(name) or (add and (names or page or only_list)) or (page and (names or only_list)):
        raise click.UsageError("give names to verify, or --list, or --add RUN_ID --as NAME, or --page")
    folder = Path(folder) if folder else zoo.FOLDER
    if add or page:
        return _made(add, name, folder, offline)
    shown = [_shown(each, zoo.place(each, folder), only_list) for each in names or zoo.names(folder)]
    problems = [row["problem"] for row in shown if row["problem"]]
    for row in shown:
        row["problem"] = row["problem"] and str(row["problem"])
    if len(problems) > 1:
        for each in problems[1:]:
            note(str(each), label="tinycnn: ")
    return shown, _table(shown) if shown else f"there is no record in {folder}", problems[0] if problems else DONE


def _made(run_id: str | None, name: str | None, folder: Path, offline: bool):
    """Make a record, where there is a run, and the page."""
    from tinycnn.zoo import page

    written = []
    if run_id:
        from tinycnn.track.mlflow_store import Store
        from tinycnn.zoo import make

        run_id = full_id(None, None, run_id)
        written.append(make.add(Store(note), run_id, name, folder, offline=offline))
    written += page.write(folder, offline=offline)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    lines = [*(f"wrote {path}" for path in written), f"{folder} has {size / 1024:.0f} KiB"]
    return {"written": [str(path) for path in written], "bytes": size}, "\n".join(lines)


def _shown(name: str, path: Path, only_list: bool) -> dict:
    """Return a record's facts and what its verification came to; ``problem``: the UserError that it ended with."""
    from tinycnn.zoo import record

    row = {"name": name, "card": None, "images": 0, "accuracy": {}, "compiler": None, "problem": None}
    try:
        record.check(path)
        row["card"] = record.card(path)
        if not only_list:
            note(f"{name}: verifying", label="")
            row |= record.verify(path)
    except UserError as error:
        row["problem"] = error
    return row


def _table(rows) -> str:
    from tinycnn.track.tables import markdown

    head = ("record", "data", "parameters", "flash kB", "mean %", "n", "this file %", "checked")
    cells = []
    for row in rows:
        card, name = row["card"], row["name"]
        if card is None:
            cells.append((name, *[""] * 6, "DAMAGED"))
            continue
        numbers = f"{card['parameters']:,}", f"{card['flash'] / 1000:.1f}", f"{card['seeds']['last']:.3f}"
        own = str(card["seeds"]["n"]), f"{card['accuracy'][f'{name}.c']:.2f}"
        cells.append((name, card["data"]["name"], *numbers, *own, _checked(row)))
    about = "mean %: of the last epoch over n seeds; this file: the C program, on all test images"
    return f"{markdown(head, cells, '<<>>>>><')}\n{about}"


def _checked(row) -> str:
    if row["problem"]:
        return "FAILED"
    if not row["images"]:
        return "checksums"
    return "all" if row["compiler"] else "all but C"
