"""`python -m ldmbench`."""

import os
import sys

HERE = ("", os.getcwd())  # noqa: PTH109 - pathlib is not imported yet
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] in HERE:
    del sys.path[0]  # names of files in the current folder are not names of modules

from ldmbench.cli import main

if __name__ == "__main__":
    main()
