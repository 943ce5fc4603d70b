"""SIGKILL at random moments, then the same command: the same scores as undisturbed."""

import subprocess
import sys
import time
from pathlib import Path

import forked
import psutil
import pytest
import tiny

sys.path.insert(0, str(Path(__file__).parent))
import kill_campaign

from ldmbench.cli import outcome


@pytest.mark.slow
def test_killed_runs_end_in_the_same_scores(tmp_path):
    def finish(suite, store):
        assert outcome(["run", str(suite), "--store", str(store)]) == 0
        return kill_campaign.scores(store)

    asked = {"kills": 3, "shortest": 1.0, "longest": 6.0, "seed": 1}
    asked |= {"finish": finish, "door": forked.DOOR}
    assert not kill_campaign.campaign(tiny.write_suite(tmp_path), tmp_path, **asked)


@pytest.mark.slow
def test_no_worker_outlives_a_killed_parent(tmp_path):
    suite = tiny.write_suite(tmp_path)
    command = [*kill_campaign.TYPED, "run", str(suite), "--store", str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        while not (workers := psutil.Process(parent.pid).children()):
            assert parent.poll() is None
            time.sleep(0.1)
        parent.kill()
    left = psutil.wait_procs(workers, timeout=120)[1]
    assert not left
