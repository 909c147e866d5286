"""Tables for the terminal and for Markdown alike, at most 80 columns wide: a network's layers, a run's epochs."""

_LETTERS = {"padded": "P", "batch norm": "N", "ReLU": "R", "dropout": "D", "flatten": "F"}


def layer_table(layers) -> str:
    """Return ``Measured.layers`` as a Markdown table with totals, and below it the meaning of its letters.

    A layer without multiply-accumulates that sees no more than the one before it (batch norm, ReLU, dropout, flatten)
    shares that one's row: its letter follows, its parameters are added, its output size is the row's. P is for padded.
    ``params`` and ``MACs`` (multiply-accumulates for one picture) are counts, ``field`` is the receptive field's side
    in pixels.
    """
    rows, key = [], {}
    for layer in layers:
        field = rows[-1]["field"] if rows else 1
        if rows and layer.macs == 0 and layer.receptive_field == field:
            row = rows[-1]
            row["kind"] += _suffix(layer.kind, row["kind"], key)
        else:
            kind, padded, _ = layer.kind.partition(", padded")
            row = {"kind": kind + (_suffix("padded", kind, key) if padded else ""), "name": layer.name}
            row |= {"params": 0, "macs": 0}
            rows.append(row)
        row["params"] += layer.parameters
        row["macs"] += layer.macs
        row |= {"output": "x".join(map(str, layer.output)), "field": layer.receptive_field}
    cells = [(r["name"], r["kind"], r["output"], f"{r['params']:,}", f"{r['macs']:,}", str(r["field"])) for r in rows]
    totals = [f"{sum(r[count] for r in rows):,}" for count in ("params", "macs")]
    cells.append(("total", "", "", *totals, str(layers[-1].receptive_field)))
    table = markdown(("layer", "kind", "output", "params", "MACs", "field"), cells, "<<>>>>")
    meanings = ", ".join(f"{letter} {' or '.join(kinds)}" for letter, kinds in key.items())
    return f"{table}\n\n{meanings}" if key else table


def _suffix(kind: str, so_far: str, key: dict) -> str:
    """Return what a layer that has no row of its own adds to the row's kind; enter its letter in ``key``."""
    letter = next((letter for name, letter in _LETTERS.items() if kind.startswith(name)), None)
    if letter is None:
        return f" + {kind}"
    if kind not in key.setdefault(letter, []):
        key[letter].append(kind)
    return letter if " + " in so_far else f" + {letter}"


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
    head = ("seed", "last %", "best %", "best epoch", "min of last 5 %", "run")
    rows = [
        (f"{s['seed']:.0f}", f"{s['last']:.2f}", f"{s['best']:.2f}", f"{s['best_epoch']:.0f}", f"{s['min_last5']:.2f}",
         (s["run_id"] or "-")[:8])
        for s in summaries
    ]  # fmt: skip
    return markdown(head, rows, ">" * 5 + "<")
