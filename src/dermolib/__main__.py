"""``python -m dermolib`` is the command ``dermolib``."""

import sys

from dermolib.cli import main

sys.exit(main())
