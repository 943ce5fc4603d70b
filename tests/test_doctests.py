"""Examples in public docstrings run and print what they say."""

import doctest
import inspect
import sys

import pytest

import ldmbench
import ldmbench.metrics
from ldmbench import api, canonical, seeds
from ldmbench.cli import outcome

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NEEDS_WEIGHTS = {"lpips"}
"""Functions whose example would need a file that nobody downloads in a test."""
METRICS = [
    name
    for name in ldmbench.metrics.__all__
    if inspect.isfunction(getattr(ldmbench.metrics, name)) and name not in NEEDS_WEIGHTS
]
IN_ORDER = ("run", "open", "compare", "gate", "score", "load")
"""The functions of the API, each after those whose results its example reads."""


def examples(function):
    """The doctests of one function's own docstring."""
    module = sys.modules[function.__module__]
    finder = doctest.DocTestFinder(recurse=False)
    return [t for t in finder.find(function, globs=dict(vars(module))) if t.examples]


def run_examples(tests, globs=None):
    """Run doctests and return what they print when they fail."""
    report = []
    for test in tests:
        if globs is not None:
            test.globs = globs
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
    return "".join(report)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_example_that_holds(name):
    found = examples(getattr(ldmbench.metrics, name))
    assert found, f"the docstring of ldmbench.metrics.{name} has no section Examples"
    assert not run_examples(found)


@pytest.mark.parametrize("module", [canonical, seeds], ids=lambda module: module.__name__)
def test_examples_of_the_ground(module):
    tests = [t for t in doctest.DocTestFinder().find(module) if t.examples]
    assert tests
    assert not run_examples(tests)


@pytest.mark.slow
def test_examples_of_the_api_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LDMBENCH_MLFLOW", "0")
    assert set(IN_ORDER) == set(api.__all__) - {"Run"}
    globs = {"ldmbench": ldmbench}
    for name in IN_ORDER:
        if name == "gate":
            assert outcome(["accept", "example", "-o", "example.json"]) == 0
        assert not run_examples(examples(getattr(api, name)), globs), name
