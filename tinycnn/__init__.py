"""Very small convolutional networks: an experiment is a spec, a spec becomes tracked runs, runs become figures."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository's root: store, data and experiments are found from here, whatever folder one starts in."""

# Threads that wait for each other sleep soon, instead of spinning for milliseconds as GNU's OpenMP has them do: beside
# other programs, that makes a training many times as slow. With a tenth of this number an idle machine trains exp3 a
# tenth slower. It is read when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
