"""`python -m ldmbench`."""

from ldmbench.cli import main

if __name__ == "__main__":
    main()
