"""Tables for the terminal and for Markdown alike, at most 80 columns wide: a network's layers, a run's epochs."""

import textwrap

_WIDTH, _KIND = 80, 14
"""Characters of a table, and those of what a layer is that there is room for at least."""


def layer_table(measured) -> str:
    """Return ``Measured.layers`` as a Markdown table, a row for each layer, and the totals of the whole network.

    ``params`` and ``MACs`` (multiply-accumulates for one picture) are counts, ``field`` is the receptive field's side
    in pixels. A network of one's own may have parameters that are in no layer.
    """
    head = ("layer", "kind", "output", "params", "MACs", "field")
    cells = [
        (
            row.name,
            row.kind,
            "×".join(map(str, row.output)),
            f"{row.parameters:,}",
            f"{row.macs:,}",
            str(row.receptive_field),
        )
        for row in measured.layers
    ]
    field = str(max((row.receptive_field for row in measured.layers), default=1))
    cells.append(("total", "", "", f"{measured.parameters:,}", f"{measured.macs:,}", field))
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    left = _WIDTH - 19 - sum(widths[2:])  # for name and kind; 19 are the frame's
    longest = min(widths[0], max(8, left - _KIND))
    room, rows = max(_KIND, left - longest), []
    for name, kind, *rest in cells:
        name = name if len(name) <= longest else f"…{name[1 - longest :]}"
        first, *more = textwrap.wrap(kind, room, subsequent_indent="  ", break_on_hyphens=False) or [""]
        rows += [(name, first, *rest), *(("", line, "", "", "", "") for line in more)]
    return markdown(head, rows, "<<>>>>")


def epoch_table(history, kind: str = "test") -> str:
    """Return EpochResults as a Markdown table, a row per epoch: losses, accuracies in percent, learning rate, seconds.

    ``kind``: what the evaluation images are, "test" or "validation".
    """
    short = "val." if kind == "validation" else kind
    head = ("epoch", "train loss", "train acc", f"{short} loss", f"{short} acc", "lr", "seconds")
    rows = [
        (f"{r.epoch}", f"{r.train_loss:.4f}", f"{r.train_accuracy:.2f}", f"{r.loss:.4f}", f"{r.accuracy:.2f}",
         f"{r.learning_rate:.3g}", f"{r.seconds:.1f}")
        for r in history
    ]  # fmt: skip
    return markdown(head, rows, ">" * len(head))


def markdown(head, rows, sides) -> str:
    """Lay out a Markdown table of strings; ``sides``: per column "<" for left or ">" for right.

    Narrower than ``DataFrame.to_markdown``, which leaves two blanks a column more than 80 columns have room for.
    """
    widths = [max(2, *map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells):
        return "| " + " | ".join(f"{c:{s}{w}}" for c, s, w in zip(cells, sides, widths, strict=True)) + " |"

    rule = [":" + "-" * (w - 1) if side == "<" else "-" * (w - 1) + ":" for side, w in zip(sides, widths, strict=True)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def seed_table(summaries: list[dict]) -> str:
    """Return the summaries of a spec's seeds as a Markdown table; accuracies in percent."""
    head = ("seed", "last %", "best %", "best epoch", "run")
    rows = [
        (f"{s['seed']:.0f}", f"{s['last']:.2f}", f"{s['best']:.2f}", f"{s['best_epoch']:.0f}", s["run_id"][:8])
        for s in summaries
    ]
    return markdown(head, rows, ">>>><")
