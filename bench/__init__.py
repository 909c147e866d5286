"""How fast all this is, measured: ``make bench`` writes ``reports/bench.md`` and ``reports/bench.json``."""
