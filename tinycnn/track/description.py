"""The words of an experiment (Target, Change, Analysis), and the description of a run."""

import re

_HEADING = re.compile(r"^(Target|Change|Source|Analysis|Run)\b[ \t]*(.*)$")


def parse_notes(notes: str) -> dict[str, str]:
    """Split an experiment's docstring into its title and its sections, Target, Change, Source, Analysis and Run."""
    lines = notes.strip().splitlines()
    found = {"title": lines[0].strip() if lines else ""}
    current = None
    for line in lines[1:]:
        if match := _HEADING.match(line):
            current = match[1]
            found[current] = match[2].strip()
        elif current and line.strip():
            found[current] = f"{found[current]} {line.strip()}".strip()
    return found


def describe(spec, measured, summary: dict | None, verdict: tuple[str, str] | None, warning: str = "") -> str:
    """Return the Markdown of MLflow's description pane: Target, Change, Result and Analysis."""
    words = parse_notes(spec.notes)
    parts = [f"**{warning}**"] if warning else []
    parts.append(f"### {words['title'] or spec.name}")
    for name in ("Target", "Change", "Source"):
        if words.get(name):
            parts.append(f"**{name}** {words[name]}")
    result = [f"{measured.parameters:,} parameters, {measured.macs:,} multiply-accumulates, receptive field "
              f"{measured.receptive_field}"]  # fmt: skip
    if summary:
        result.append(
            f"last epoch {summary['last']:.2f} %, best {summary['best']:.2f} % (epoch {summary['best_epoch']:g})"
        )
        if spec.train.epochs >= 5:
            result.append(f"minimum of the last five {summary['min_last5']:.2f} %")
    if verdict:
        result.append(f"target {verdict[0]}: {verdict[1]}")
    parts.append("**Result** " + "; ".join(result) + ".")
    if words.get("Analysis"):
        parts.append(f"**Analysis** {words['Analysis']}")
    return "\n\n".join(parts)
