"""The downsampling sweep end to end, with the --set values that its header documents."""

import re
from pathlib import Path

import pytest

from ldmbench.cli import outcome
from ldmbench.records.runs import Runs

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
    found = re.findall(r"--set (\S+)", "\n".join(header))
    return [part for change in found for part in ("--set", change)]


@pytest.mark.slow
def test_the_sweep_keeps_every_axis_and_fills_every_column(tmp_path, monkeypatch):
    monkeypatch.setenv("LDMBENCH_MLFLOW", "0")
    only = ["--only", "*/shapes/*", "--only", "*f=4*/shapes_fine/*"]
    told = ["--store", str(tmp_path), "--json", *documented(), *only]
    assert outcome(["run", str(SUITE), *told]) == 0
    all_runs = Runs(tmp_path)
    records = all_runs.records(all_runs.find().id)
    assert len(records) == 2 * (1 + 2 * 5) + 2 * 2  # steps x (pixel + 2 regularisations), and f = 4
    assert {r.cell.f for r in records} == {1, 2, 4, 8, 16, 32}
    assert {r.cell.dataset for r in records} == {"shapes", "shapes_fine"}
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
