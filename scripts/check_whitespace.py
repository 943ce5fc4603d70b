"""Say which text files have spaces at the end of a line or do not end with one line feed.

python scripts/check_whitespace.py [FILE ...]; without files, every text file that git tracks.
"""

import subprocess
import sys
from pathlib import Path

SKIPPED = ("tests/golden/", "reports/", "baselines/")
"""Folders of files that programs write."""


def faults(data: bytes) -> list[str]:
    """Return what is wrong with the bytes of a file; nothing where they are no text."""
    if not data or b"\0" in data:
        return []
    found = [
        f"line {number} ends with white space"
        for number, line in enumerate(data.split(b"\n"), start=1)
        if line != line.rstrip()
    ]
    if not data.endswith(b"\n") or data.endswith(b"\n\n"):
        found.append("does not end with one line feed")
    return found


def main() -> int:
    """Print the faults of files, and return 1 if there are any."""
    names = sys.argv[1:]
    if not names:
        listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True)
        names = [n for n in listed.stdout.decode().split("\0") if n and not n.startswith(SKIPPED)]
    said = [f"{name}: {text}" for name in names for text in faults(Path(name).read_bytes())]
    sys.stdout.write("".join(f"{line}\n" for line in said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
