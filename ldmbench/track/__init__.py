"""Mirrors of the records elsewhere; write-only. `ldmbench.track.mlflow` is the only one."""
