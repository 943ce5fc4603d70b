"""SIGKILL at random moments, then the same command: the same scores as undisturbed."""

import sys
from pathlib import Path

import pytest
import tiny

sys.path.insert(0, str(Path(__file__).parent))
import kill_campaign


@pytest.mark.slow
def test_killed_runs_end_in_the_same_scores(tmp_path):
    suite = tiny.write_suite(tmp_path)
    assert not kill_campaign.campaign(suite, tmp_path, kills=3, shortest=1.0, longest=10.0, seed=1)


@pytest.mark.slow
def test_no_worker_outlives_a_killed_parent(tmp_path):
    import time

    import psutil

    suite = tiny.write_suite(tmp_path, tiny.SUITE.replace("{steps: 3}", "{steps: 100000}"))
    kill_campaign.kill_once(suite, tmp_path / "store", after=12)
    time.sleep(3)
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if "ldmbench.execute.worker" in (p.info["cmdline"] or []) and p.ppid() == 1
    ]
    assert not left
