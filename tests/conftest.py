"""What all tests share: few threads, no MLflow telemetry, own stores, long files first."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False  # each process would compile torch again

import forked


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """Keep every test out of the store of whoever runs it."""
    monkeypatch.setenv("LDMBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu")


@pytest.fixture
def weights_home(tmp_path, monkeypatch):
    """An empty weights folder, offline."""
    monkeypatch.setenv("LDMBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("LDMBENCH_OFFLINE", "1")
    return tmp_path / "weights"


def pytest_configure(config):
    """Let xdist hand out files in the order of the collection; fork the workers of runs."""
    config.option.loadscopereorder = False
    forked.install()


def pytest_collection_modifyitems(config, items):
    """Leave campaigns out unless asked for; begin with the files that hold slow tests.

    So no slow file is left for one worker at the end.
    """
    if "campaign" not in config.option.markexpr:
        left = [item for item in items if item.get_closest_marker("campaign")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("campaign")]
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
