"""One use of the tool, behind the command line and the Python API: plan, run, judge, render."""
