"""What a study's committed facts say, in blocks: what was searched and how, the best trial, what came of it."""

from analysis.blocks import bullets, paragraph, table
from analysis.statistics import plain


def study_facts(trials, facts: dict) -> list[dict]:
    """Return what a study searched, its best trial, and lines on what tempts to be read into it.

    ``facts`` may lack whatever an earlier record did not hold.
    """
    states = trials["state"].value_counts()
    counted = ", ".join(f"{states[state]} {state.replace('_', ' ')}" for state in sorted(states.index))
    limit = "none" if facts.get("limit") is None else f"{facts['limit']:,}"
    objective = str(facts.get("objective")).replace("_", " ")
    text = f"From {facts.get('base')}; objective: {objective} of the last epoch, on images held out of the training set"
    text += f"; parameter limit: {limit}. Trials: {counted}."
    if facts.get("seeds") and facts.get("epochs"):
        text += f" Each trained {facts['epochs']} epochs with {facts['seeds']} seed(s)."
    if facts.get("fidelity"):
        text += " Cheaper than the base by " + ", ".join(f"{k} {plain(v)}" for k, v in facts["fidelity"].items()) + "."
    if facts.get("epochs_saved_by_pruning"):
        text += f" Pruning saved {facts['epochs_saved_by_pruning']:,} epochs."
    blocks = [paragraph(text)]
    best = trials[trials["number"] == facts.get("best")]
    if len(best):
        fields = [field for field in facts.get("ranges", {}) if field in trials]
        rows = [(field, _range(facts["ranges"][field]), plain(best[field].iloc[0])) for field in fields]
        blocks.append(table(("field", "searched", f"best (trial {facts['best']})"), rows, "<<<"))
    lines = _came_to(facts) + list(facts.get("edges") or [])
    return [*blocks, bullets(lines)] if lines else blocks


def _came_to(facts) -> list[str]:
    """Say how the best stands beside the base, on validation images in the study and on test images afterwards."""
    lines = []
    if facts.get("value") is not None and facts.get("base_value") is not None:
        lines.append(
            f"The best value is {facts['value']:.5g}, that of {facts.get('base')} itself {facts['base_value']:.5g}; "
            "the best of many trials is in part the luckiest."
        )
    if compared := facts.get("comparison"):
        text = f"{compared['promoted']} against {compared['base']} on the test set, {compared['seeds']} seeds, paired: "
        text += f"{compared['difference']:+.3f} points"
        if compared.get("low") is not None:
            text += f", 95 % interval {compared['low']:+.3f} to {compared['high']:+.3f}"
        lines.append(f"{text}: {compared['word']}.")
    return lines


def _range(facts: dict) -> str:
    if facts.get("choices"):
        return ", ".join(map(plain, facts["choices"]))
    scale = ", logarithmic" if facts.get("log") else ""
    return f"{plain(facts.get('low'))} to {plain(facts.get('high'))}{scale}"
