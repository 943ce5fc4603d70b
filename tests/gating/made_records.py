"""Made-up records of a gate's runs: scores with replicates on disk, speeds with a yardstick."""

import dataclasses

import numpy as np

from ldmbench.gating.baseline import accepted_run
from ldmbench.gating.commit import Commit
from ldmbench.records.compare import stored_replicates
from ldmbench.schema.baseline import Baseline
from ldmbench.schema.record import Measure, Record, Run, Score
from ldmbench.schema.stage import Cell

CPU = "Some CPU x 2 threads"
DRAWS = np.random.default_rng(7).normal(size=(3, 200))  # common, and two of one's own


@dataclasses.dataclass
class Made:
    """What a run measured; every test changes a field or two."""

    number: int = 1
    suite: str = "smoke"
    cells: tuple = ("ldm/shapes/ddim-4/g1/s0", "pixel/shapes/ddim-4/g1/s0")
    fid: float = 20.0
    fid_error: float = 0.4
    precision: float | None = 0.8
    half: float = 0.02
    own: int = 1
    throughput: float | None = 100.0
    latency: float = 0.02
    wobble: float = 0.005
    yardstick: float | None = 0.05
    stick_version: str = "yardstick-v2"
    flops: float = 2e9
    peak: float | None = None
    device: str = CPU
    machine: str = "AMD EPYC x 2 threads"
    batch: int = 8
    signature: str = "fid|v1|feat:shapes-net@6726825d|n:64|m:128|quant:round|dtype:f32"
    stale: tuple = ()
    failed: tuple = ()
    train_seed: int = 0

    @property
    def id(self):
        return f"{self.suite}-20260101T0000{self.number:02d}Z-{self.number:04x}"

    def records(self, store):
        return [self._record(cell, store) for cell in self.cells]

    def _record(self, id, store):
        model, dataset, *_ = id.split("/")
        cell = Cell(
            id=id, model=model, dataset=dataset, sampler="ddim", steps=4, eta=0.0, guidance=1.0,
            count=64, train_seed=self.train_seed,
        )  # fmt: skip
        machine = {"device": self.machine, "platform": "Linux"}
        if id in self.failed:
            return Record(run=self.id, cell=cell, status="failed", reason="it broke")
        return Record(
            run=self.id, cell=cell, status="done", scores=tuple(self._scores(store, model)),
            measures=tuple(self._measures(model)), stale=self.stale, machine=machine,
            versions={"ldmbench": "0.1.0"},
        )  # fmt: skip

    def _scores(self, store, model):
        key = f"{model}{self.number}{self.own}"
        folder = store / "scores" / key
        folder.mkdir(parents=True, exist_ok=True)
        moves = self.fid_error * (0.8 * DRAWS[0] + 0.6 * DRAWS[self.own])
        share = self.precision is not None and 0 < self.precision < 1
        arrays = {"fid": self.fid + moves}
        if self.precision is not None:
            arrays["precision"] = self.precision + 0.01 * share * moves / self.fid_error
        np.savez(folder / "replicates.npz", **arrays)
        common = {"confidence": 0.95, "n": 64, "signature": self.signature, "replicates": key}
        half = 1.96 * self.fid_error
        yield Score(name="fid", value=self.fid, low=self.fid - half, high=self.fid + half, **common)
        if self.precision is not None:
            low, high = max(0.0, self.precision - self.half), min(1.0, self.precision + self.half)
            yield Score(name="precision", value=self.precision, low=low, high=high, **common)

    def _measures(self, model):
        turn = sum(map(ord, model)) % 9  # seeds of one model share a timing, models do not

        def near(value, time):
            found = {"low": value * (1 - self.wobble), "high": value * (1 + self.wobble)}
            if not self.yardstick:
                return found
            middle = time / self.yardstick
            ratios = tuple(middle * float(np.exp(0.41 * self.wobble * i)) for i in range(-4, 5))
            ratios = (*ratios[turn:], *ratios[:turn])
            return {**found, "n": 9, "ratios": ratios, "yardstick": self.stick_version}

        at = {"device": self.device}
        if self.throughput:
            yield Measure(
                name="throughput", value=self.throughput, unit="images/s", batch=self.batch,
                **near(self.throughput, self.batch / self.throughput), **at,
            )  # fmt: skip
        yield Measure(
            name="latency", value=self.latency, unit="s", batch=1,
            **near(self.latency, self.latency), **at,
        )  # fmt: skip
        if self.yardstick:
            yield Measure(name="yardstick", value=self.yardstick, unit="s", **at)
        yield Measure(name="flops_per_image", value=self.flops, unit="FLOP", **at)
        yield Measure(name="peak_memory", value=self.peak, unit="bytes", batch=self.batch, **at)
        yield Measure(name="train_device_days", value=0.1 * self.number, unit="device-days", **at)


def baseline_of(store, *runs, rules=None):
    """Return a baseline of made runs."""
    read = stored_replicates(store)
    accepted = [accepted_run(m.records(store), read, commit=Commit("ab" * 20)) for m in runs]
    return Baseline(suite=runs[0].suite, rules=rules or {}, runs=tuple(accepted))


def write(all_runs, made, store):
    """Write a made run into a store's all_runs."""
    run = Run(
        id=made.id, suite=made.suite, suite_digest="", state="done",
        started=f"2026-01-01T00:00:{made.number:02d}",
    )  # fmt: skip
    all_runs.write_run(run)
    all_runs.rewrite(run.id, made.records(store))
    return run
