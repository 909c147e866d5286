"""What becomes slow as runs, trials and jobs add up, as ``bench.growth`` measures it."""

from matplotlib.figure import Figure

from analysis.plots import style

_NOT_COMPUTED = ("asked_in_20_s", "shortest", "took")


@style.styled
def growth(found: dict) -> Figure:
    """Draw processor seconds against the number of runs in a store, of trials in a study, and of jobs on a cluster.

    ``found``: rows of ``store`` (runs, and seconds by command), of ``study`` (trials; seconds to ``open`` and ``ask``),
    and of ``cluster``, as ``bench.cluster.simulate`` returns them.
    """
    figure = style.new(style.PAGE, 2.6)
    kinds = (("store", "runs"), ("study", "trials"), ("cluster", "jobs"))
    for panel, (kind, count) in zip(figure.subplots(1, 3), kinds, strict=True):
        rows = found[kind]
        names = [name for name in (rows[0] if rows else ()) if name not in (count, *_NOT_COMPUTED)]
        for name, look in zip(names, style.SERIES, strict=False):
            line = {"color": look["color"], "marker": look["marker"], "dashes": look["dashes"] or (None, None)}
            panel.plot([row[count] for row in rows], [row[name] for row in rows], label=name, **line)
        panel.set(xscale="log", yscale="log", xlabel=f"number of {count}", ylabel="processor time (s)")
        if names:
            panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure
