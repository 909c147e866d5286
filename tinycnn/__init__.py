"""Very small convolutional networks: an experiment is a spec, a spec becomes tracked runs, runs become figures."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository's root: store, data and experiments are found from here, whatever folder one starts in."""

# Threads that wait for each other sleep soon, instead of spinning for milliseconds as GNU's OpenMP has them do. On an
# idle machine this costs a few percent; beside other programs, spinning makes a training ten times as slow. It is read
# when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
