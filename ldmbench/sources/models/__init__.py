"""Models on disk: their files and config files, and what a plan must know of them."""
