"""Curves of trainings that go on reach MLflow, and nothing that breaks there stops a run."""

import json

import pytest

from ldmbench.records.runs import Runs
from ldmbench.schema.params import TrainedDenoiser
from ldmbench.schema.record import Run
from ldmbench.schema.stage import Cell, Plan, Stage
from ldmbench.session import live
from ldmbench.session.live import Live
from ldmbench.store.disk import Store
from ldmbench.store.units import units_of

PARAMS = TrainedDenoiser.model_validate({"budget": {"steps": 9}, "channels": 8})
STAGE = Stage(kind="denoiser", key="d" * 32, params=PARAMS, version=1, inputs={})
CELL = {"id": "ldm/shapes/ddim-5", "model": "ldm", "dataset": "shapes", "sampler": "ddim"}
CELL |= {"steps": 5, "eta": 0.0, "guidance": 1.0, "count": 8, "stages": {"denoiser": STAGE.key}}
ROWS = [
    {"step": n, "images": 8 * n, "loss": 1 / n, "rate": 1e-3, "gradient_norm": 2.0, "seconds": n}
    for n in (1, 2)
]


class Inner:
    def __init__(self):
        self.seen = []

    def __getattr__(self, name):
        return lambda *given: self.seen.append(name)


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """Return a listener with a training that goes on, and what was sent of it."""
    sent = []
    monkeypatch.setattr(live, "EVERY", -1.0)
    monkeypatch.delenv("LDMBENCH_MLFLOW", raising=False)
    monkeypatch.setattr("ldmbench.session.live.follow", lambda *a, **k: sent.append((a, k)))
    store = Store(tmp_path)
    store.open()
    source = "suite: s\nmodels: {ldm: {budget: {steps: 9}}}\ndata: {shapes: {kind: shapes}}\n"
    run = Run(id="s-1", suite="s", suite_digest="", source=source, state="running", started="")
    plan = {"suite": "s", "suite_digest": "", "metrics": (), "probes": ()}
    plan = Plan(**plan, cells=(Cell(**CELL),), stages=(STAGE,))
    runs = Runs(tmp_path)
    runs.write_run(run)
    [unit] = units_of(STAGE)
    return Live(Inner(), run, plan, store, runs), unit, sent, store


def test_the_curve_so_far_is_sent(followed):
    listener, unit, sent, store = followed
    listener.started(unit)
    listener.progressed([unit], 0.1, "")
    listener.close()
    assert sent == []  # there is no curve yet
    folder = store.root / "scratch" / unit.address.name
    folder.mkdir(parents=True)
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    listener.progressed([unit], 0.2, "")
    listener.close()
    [((_, [training]), more)] = sent
    assert (training.name, training.key) == ("ldm/shapes denoiser", STAGE.key)
    assert [p.model_dump() for p in training.points] == ROWS
    assert more["default_uri"].startswith("sqlite:")
    listener.finished(unit, 1.0)
    listener.progressed([unit], 1.0, "")
    listener.close()
    assert len(sent) == 1


def test_nothing_is_sent_after_a_refusal_or_without_a_mirror(followed, monkeypatch):
    listener, unit, sent, store = followed
    folder = store.root / "scratch" / unit.address.name
    folder.mkdir(parents=True)
    (folder / "curve.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    calls = []
    monkeypatch.setattr("ldmbench.session.live.follow", lambda *a, **k: calls.append(1) or "no")
    listener.started(unit)
    for share in (0.1, 0.2, 0.3):
        listener.progressed([unit], share, "")
        listener.close()
    assert len(calls) == 1
    assert sent == []
    assert listener._inner.seen == ["started", "progressed", "progressed", "progressed"]
