"""Mirrors of the records elsewhere; write-only."""
