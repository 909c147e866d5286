"""``python -m tinycnn``."""

import sys

from tinycnn.cli.commands import main

sys.exit(main())
