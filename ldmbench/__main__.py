"""`python -m ldmbench`."""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - no import yet
        del sys.path[0]  # names of files in the current folder are not names of modules

    from ldmbench.cli import main

    main()
