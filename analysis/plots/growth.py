"""What becomes slow as runs and trials add up, as ``bench.growth`` measures it."""

from matplotlib.figure import Figure

from analysis.plots import style


@style.styled
def growth(found: dict) -> Figure:
    """Draw processor seconds against the number of runs in a store, and of trials in a study.

    ``found``: rows of ``store`` (runs, and seconds by command) and of ``study`` (trials; seconds to ``open`` and
    ``ask``).
    """
    figure = style.new(style.PAGE, 2.4)
    panels = figure.subplots(1, 2)
    for panel, rows, count in ((panels[0], found["store"], "runs"), (panels[1], found["study"], "trials")):
        names = [name for name in (rows[0] if rows else ()) if name not in (count, "asked_in_20_s")]
        for name, look in zip(names, style.SERIES, strict=False):
            line = {"color": look["color"], "marker": look["marker"], "dashes": look["dashes"] or (None, None)}
            panel.plot([row[count] for row in rows], [row[name] for row in rows], label=name, **line)
        panel.set(xscale="log", yscale="log", xlabel=f"number of {count}", ylabel="processor time (s)")
        if names:
            panel.legend()
    return figure
