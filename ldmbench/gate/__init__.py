"""Records x baseline -> verdict."""

from ldmbench.gate.baseline import accepted_run, merged, read_baseline, write_baseline
from ldmbench.gate.history import history, history_data
from ldmbench.gate.judge import judge
from ldmbench.gate.junit import junit_xml
from ldmbench.gate.summary import markdown, terminal

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
