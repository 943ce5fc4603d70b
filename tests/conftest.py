"""What all tests share: few threads, no MLflow telemetry, no store in the working folder."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """Keep every test out of the store of whoever runs it."""
    monkeypatch.setenv("LDMBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu")
