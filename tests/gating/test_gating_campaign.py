"""The campaign of false alarms and power, in its smallest form: it runs, resumes and counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gate_campaign.py"
SIZES = {"models": 2, "halves": 1, "sample-seeds": 1, "gates": 2, "quiet": 2, "load": 1, "slow": 1}
LEAST = [word for name, count in SIZES.items() for word in (f"--{name}", str(count))]
TINY = [
    word
    for change in (
        "models.ldm.budget.steps=4",
        "models.ldm.autoencoder.budget.steps=4",
        "models.pixel.budget.steps=2",
        "sample.count=32",
        "sample.steps=[2]",
        "metrics=[fid, precision]",
        "speed.repeats=2",
        "speed.batch=1",
    )
    for word in ("--set", change)
]


@pytest.mark.campaign
def test_the_campaign_in_miniature(tmp_path):
    def go(*more):
        command = [sys.executable, str(SCRIPT), str(tmp_path), *LEAST, *TINY, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    table, told = go()
    assert "| unchanged, quiet | 2 |" in table
    assert "| half the training budget | 1 |" in table
    found = json.loads((tmp_path / "campaign.json").read_text())
    assert {row["gates"] for row in found.values()} == {1, 2}
    slow, quiet = (json.loads((tmp_path / k / "000.json").read_text()) for k in ("slow", "quiet"))
    assert slow.keys() == quiet.keys()
    (tmp_path / "quiet" / "001.json").unlink()
    _, told = go("--only", "quiet")
    assert "training" not in told
    assert "quiet 2/2" in told
