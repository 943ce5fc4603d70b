from __future__ import annotations

import pytest
from fake_records import fake


@pytest.fixture
def small(tmp_path):
    """Three models, two step counts, one failed cell, one dataset."""
    folder = tmp_path / "run"
    made = fake(folder, downsampling=(1, 4, 8), steps=(10, 50), failed=(8,), datasets=("shapes",))
    return folder, *made
