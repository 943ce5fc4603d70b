"""Records x baseline -> verdict."""

from ldmbench.gating.baseline import accepted_run, merged, read_baseline, write_baseline
from ldmbench.gating.history import history, history_data
from ldmbench.gating.judge import judge
from ldmbench.gating.junit import junit_xml
from ldmbench.gating.summary import markdown, terminal

__all__ = [
    "accepted_run",
    "history",
    "history_data",
    "judge",
    "junit_xml",
    "markdown",
    "merged",
    "read_baseline",
    "terminal",
    "write_baseline",
]
