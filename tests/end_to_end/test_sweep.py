"""The downsampling sweep end to end, with the --set values that its header documents."""

import re
from pathlib import Path

import pytest

from ldmbench.cli import outcome
from ldmbench.records.runs import Runs
from ldmbench.session.planning import planned

SUITE = Path("suites/downsampling_sweep.yaml")
FIRST_STAGE = {"rfid", "psnr", "ssim"}
ALWAYS = (
    "throughput",
    "latency",
    "latency_p95",
    "flops_per_image",
    "peak_memory",
    "parameters",
    "total_device_days",
    "amortised_device_days",
    "train_flops",
    "coding_rate",
)


def documented():
    """The --set values in the suite's header."""
    header = [line for line in SUITE.read_text().splitlines() if line.startswith("#")]
    return re.findall(r"--set (\S+)", "\n".join(header))


def test_the_sweep_keeps_every_axis(tmp_path):
    _, plan = planned(SUITE, documented(), (), store=tmp_path)
    assert len(plan.cells) == 2 * 2 * (1 + 2 * 5)  # data x steps x (pixel + 2 regularisations)
    assert {cell.f for cell in plan.cells} == {1, 2, 4, 8, 16, 32}
    assert {cell.dataset for cell in plan.cells} == {"shapes", "shapes_fine"}


@pytest.mark.slow
def test_the_sweep_fills_every_column(tmp_path, monkeypatch):
    """Pixels, both regularisations, the largest f, the other data and both numbers of steps."""
    monkeypatch.setenv("LDMBENCH_MLFLOW", "0")
    only = ("*f=1]/shapes/ddim-2/*", "*f=4,*=kl]/shapes/*", "*f=32,*=vq]/shapes_fine/ddim-3/*")
    told = ["--store", str(tmp_path), "--json"]
    told += [part for change in documented() for part in ("--set", change)]
    told += [part for pattern in only for part in ("--only", pattern)]
    assert outcome(["run", str(SUITE), *told]) == 0
    all_runs = Runs(tmp_path)
    records = all_runs.records(all_runs.find().id)
    assert len(records) == 1 + 2 + 1
    for record in records:
        scores = {s.name for s in record.scores if s.value is not None}
        assert {"fid", "kid", "inception_score", "precision", "recall", "clip_score"} <= scores
        measures = {m.name: m for m in record.measures}
        for name in ALWAYS:
            assert measures[name].value is not None, name
        assert measures["energy_per_image"].value is not None or (
            measures["energy_per_image"].reason
        )
        if record.cell.f > 1:
            assert scores >= FIRST_STAGE
            assert measures["rate"].value > 0
            vq = record.cell.regularization == "vq"
            assert ("code_entropy" in measures) == ("codebook_use" in measures) == vq
    extras = all_runs.extras(all_runs.find().id)
    assert len(extras.coding) == len(records)
    for record in records:
        rates = {m.name: m.value for m in record.measures}
        assert rates["coding_rate"] == extras.coding[record.cell.id][0].bits_per_dim
    assert len(extras.pictures) == len(records) + 2
