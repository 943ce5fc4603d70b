"""False alarms and power of the gate, on smoke's models trained many times; resumable.

    python scripts/gate_campaign.py FOLDER [--small] [--only models|quiet|load|slow|judge]

1. models: trains smoke's models from many train seeds (and some on half the budget) with
   `ldmbench run`, and samples and scores each with several sample seeds. Load does not matter.
2. quiet, load, slow: times the speed stage again and again, five to a process: on this
   machine as it is, beside a process that keeps one core busy, and with a tenth more computation in
   the denoiser. Nothing else may run meanwhile.
3. judge: gates. Half the trainings, drawn anew for every gate, are accepted (`accept` and
   `accept --add`), each with sample seed and timing of its own; one of the others is gated. Rules
   are those of the project's baseline.

Everything is kept in FOLDER; what is there is not made again. One thread, as in CI.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ldmbench.gating import accepted_run, judge, merged, read_baseline
from ldmbench.gating.commit import Commit
from ldmbench.gating.verdict import Outcome
from ldmbench.records.compare import stored_replicates
from ldmbench.records.reading import read_records
from ldmbench.schema.baseline import Baseline
from ldmbench.schema.record import Measure, Record, Score

ROOT = Path(__file__).resolve().parent.parent
SUITE, BASELINE = ROOT / "suites" / "smoke.yaml", ROOT / "baselines" / "smoke.json"
SEEDS = ("ldm.denoiser", "ldm.autoencoder", "pixel.denoiser")
BATCH = 5
"""Timings of one process: starting one takes as long as a timing."""
BUSY = "while True: pass"
TIMED_MODELS = ("full", 0)
"""The training whose speed stages are timed; what it costs to run does not hang on the weights."""
TIMED = ("throughput", "latency", "latency_p95", "yardstick")
STEPS = ("models", "quiet", "load", "slow", "judge")


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    models: int = 16
    halves: int = 8
    sample_seeds: int = 5
    gates: int = 200
    quiet: int = 200
    load: int = 100
    slow: int = 50


SMALL = Size(models=4, halves=1, sample_seeds=2, gates=6, quiet=3, load=2, slow=2)


class Campaign:
    """One folder of trainings, timings and verdicts."""

    def __init__(self, folder: Path, size: Size, sets: Sequence[str]) -> None:
        self.folder, self.size, self.sets = folder.resolve(), size, sets
        self.store = self.folder / "store"
        self.read = cache(stored_replicates(self.store))

    # ------------------------------------------------------------ trainings

    def models(self) -> None:
        """Train, sample and score; two trainings at a time."""
        seeds = [("full", n) for n in range(self.size.models)]
        seeds += [("half", 100 + n) for n in range(self.size.halves)]
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(lambda pair: self._train(*pair), seeds):
                pass

    def _records(self, kind: str, seed: int) -> Path:
        """Return where the records of a training are kept."""
        return self.folder / "models" / f"{kind}-{seed:03d}.jsonl"

    def _train(self, kind: str, seed: int) -> None:
        done = self._records(kind, seed)
        if done.exists():
            return
        changes = [f"models.{name}.train_seed={seed}" for name in SEEDS]
        changes += [f"sample.seed=[{', '.join(map(str, range(self._seeds(kind))))}]"]
        speeds = "throughput, latency, " if (kind, seed) == TIMED_MODELS else ""
        changes += [f"probes=[{speeds}flops, reconstruction, coding]", *self.sets]
        if kind == "half":
            changes += [f"models.{name}={steps}" for name, steps in self._half_budgets.items()]
        words = [word for change in changes for word in ("--set", change)]
        command = [sys.executable, "-m", "ldmbench", "run", str(SUITE), *words, "--json"]
        say(f"{kind} training, seed {seed}")
        told = json.loads(run([*command, "--store", str(self.store)]))
        if told["failed"]:
            raise SystemExit(f"cells failed: {told['failed']}")
        write(done, Path(told["records"]).read_text("utf-8"))

    @cached_property
    def _half_budgets(self) -> dict[str, int]:
        from ldmbench.suite.load import load_suite

        found = load_suite(SUITE, sets=self.sets).written.models
        steps = {
            name: model.model_dump(mode="json")["budget"]["steps"] for name, model in found.items()
        }
        return {f"{name}.budget.steps": count // 2 for name, count in steps.items()}

    # ------------------------------------------------------------ timings

    def time(self, kind: str, count: int) -> None:
        """Time `count` times: quiet, load, or slow."""
        run_id = read_records(self._records(*TIMED_MODELS))[0].run
        outs = [self.folder / kind / f"{number:03d}.json" for number in range(count)]
        left = [str(out) for out in outs if not out.exists()]
        outs[0].parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            str(ROOT / "scripts" / "gate_timing.py"),
            str(self.store),
            run_id,
        ]
        slow = ["--slow", "0.10"] if kind == "slow" else []
        with busy() if kind == "load" else idle():
            for first in range(0, len(left), BATCH):
                began, part = time.perf_counter(), left[first : first + BATCH]
                run([*command, *part, *slow])
                each = (time.perf_counter() - began) / len(part)
                say(f"{kind} {count - len(left) + first + len(part)}/{count}, {each:.1f} s each")

    # ------------------------------------------------------------ gates

    def gates(self, count: int, *, models: str = "full", times: str = "quiet") -> Iterator[Outcome]:
        """Accept half of the trainings and gate one of the others, `count` times."""
        full, fresh = sets_in(self.folder, "full"), sets_in(self.folder, models)
        quiet, timed = timings_in(self.folder, "quiet"), timings_in(self.folder, times)
        trains = sorted({train for train, _ in full})
        for number in range(count):
            rng = np.random.default_rng([number, *map(ord, models + times)])
            order = rng.permutation(trains).tolist()
            accepted, rest = order[: len(order) // 2], order[len(order) // 2 :]
            own = rest if models == "full" else sorted({train for train, _ in fresh})
            clocks = [i for i in range(len(quiet)) if times != "quiet" or i != number % len(timed)]
            picks = rng.choice(clocks, len(accepted), replace=len(clocks) < len(accepted))
            baseline: Baseline | None = self._rules()
            for train, pick in zip(accepted, picks, strict=True):
                records = clocked(full[train, int(rng.integers(self._seeds("full")))], quiet[pick])
                run = accepted_run(records, self.replicates, commit=Commit())
                baseline = merged(run, baseline, add=True)
            assert baseline is not None
            records = fresh[int(rng.choice(own)), int(rng.integers(self._seeds(models)))]
            records = clocked(records, timed[number % len(timed)])
            yield judge(records, baseline, self.replicates)

    def _seeds(self, kind: str) -> int:
        """Return how many sample seeds a training is sampled with: as many as gates need."""
        return self.size.sample_seeds if kind == "full" else (self.size.sample_seeds + 1) // 2

    def _rules(self) -> Baseline:
        """Return a baseline without runs, with the rules of the one that CI uses."""
        rules = read_baseline(BASELINE).rules if BASELINE.exists() else {}
        return Baseline(suite="smoke", rules=rules)

    def replicates(self, score: Score) -> Any:
        """Return a score's replicates."""
        return self.read(score)

    def judge(self) -> None:
        """Gate, count, and write the table."""
        size, rows = self.size, []
        kinds: dict[str, Callable[[], Iterator[Outcome]]] = {
            "unchanged, quiet": lambda: self.gates(size.gates),
            "unchanged, one core busy": lambda: self.gates(size.gates, times="load"),
            "denoiser 10 % slower": lambda: self.gates(size.slow, times="slow"),
            "half the training budget": lambda: self.gates(size.slow, models="half"),
        }
        needs = ("quiet", "load", "slow", "models")
        told: dict[str, Any] = {}
        for (title, gates), need in zip(kinds.items(), needs, strict=True):
            if (self.folder / need).exists() and (self.folder / "quiet").exists():
                row, told[title] = summed(title, list(gates()))
                rows.append(row)
        table = [
            "| gates | how many | regressed | inconclusive | pass | what regressed |",
            "|---|---:|---:|---:|---:|---|",
            *rows,
        ]
        write(self.folder / "campaign.json", json.dumps(told, indent=1))
        write(self.folder / "campaign.md", "\n".join([*table, "", *self._spread(), ""]))
        sys.stdout.write((self.folder / "campaign.md").read_text("utf-8"))

    def _spread(self) -> Iterator[str]:
        """Say how much speeds in yardsticks and scores vary from one run to the next."""
        yield "| spread between runs | " + " | ".join(("quiet", "load", "slow")) + " |"
        yield "|---|---:|---:|---:|"
        pools = [timings_in(self.folder, kind) for kind in ("quiet", "load", "slow")]
        logs = [
            {
                (cell, m.name): np.log([np.median(t[cell][i].ratios) for t in pool])
                for cell in pool[0]
                for i, m in enumerate(pool[0][cell])
                if m.ratios
            }
            if pool
            else {}
            for pool in pools
        ]
        for key, base in logs[0].items():
            parts = [_about(x[key], base) if len(x.get(key, ())) > 1 else "" for x in logs]
            yield f"| {' '.join(key)} | {' | '.join(parts)} |"
        for name in ("throughput", "latency"):
            means = [np.mean([x[k] for k in x if k[1] == name] or [0.0], axis=0) for x in logs]
            parts = [_about(x, means[0]) if np.size(x) > 1 else "" for x in means]
            yield f"| mean over all cells {name} | {' | '.join(parts)} |"
        timed = [m for timing in pools[0] for cell in timing.values() for m in cell]
        sticks = [m.value or 0.0 for m in timed if m.name == "yardstick"]
        yield ""
        yield f"Yardstick of quiet cells: {1e3 * min(sticks):.0f} to {1e3 * max(sticks):.0f} ms."
        yield ""
        yield "| score | full budget | half | standard deviations |"
        yield "|---|---:|---:|---:|"
        full, half = (values(sets_in(self.folder, kind)) for kind in ("full", "half"))
        for key in full.keys() & half.keys():
            x, y = np.array(full[key]), np.array(half[key])
            spread = max(float(x.std(ddof=1)), 1e-12)
            yield (
                f"| {' '.join(key)} | {x.mean():.4g} ± {spread:.3g}"
                f" | {y.mean():.4g} ± {y.std():.3g} | {(y.mean() - x.mean()) / spread:+.1f} |"
            )


def _about(x: Any, base: Any) -> str:
    return f"{100 * (np.mean(x) - np.mean(base)):+.1f} ± {100 * np.std(x, ddof=1):.1f} %"


@cache
def sets_in(folder: Path, kind: str) -> dict[tuple[int, int], list[Record]]:
    """Return (train seed, sample seed) -> records, as a run of seed 0 would name its cells."""
    found: dict[tuple[int, int], list[Record]] = {}
    for path in sorted((folder / "models").glob(f"{kind}-*.jsonl")):
        train = int(path.stem.rpartition("-")[2])
        for record in read_records(path):
            stem, _, seed = record.cell.id.rpartition("/s")
            cell = record.cell.model_copy(update={"id": f"{stem}/s0"})
            name = f"smoke-20260101T000000Z-{train:02x}{int(seed):02x}"
            renamed = record.model_copy(update={"cell": cell, "run": name})
            found.setdefault((train, int(seed)), []).append(renamed)
    return found


@cache
def timings_in(folder: Path, kind: str) -> list[dict[str, list[Measure]]]:
    """Return cell -> timed measures, per timing."""
    found = []
    for path in sorted((folder / kind).glob("*.json")):
        cells = json.loads(path.read_text("utf-8"))
        stems = {name.rpartition("/s")[0]: entries for name, entries in cells.items()}
        found.append(
            {
                f"{stem}/s0": [Measure(**entry) for entry in entries if entry["name"] in TIMED]
                for stem, entries in stems.items()
            }
        )
    return found


def values(sets: dict[tuple[int, int], list[Record]]) -> dict[tuple[str, str], list[float]]:
    """Return (cell, score) -> values over all trainings and sample seeds."""
    found: dict[tuple[str, str], list[float]] = {}
    for records in sets.values():
        for record in records:
            made = (*record.scores, *(m for m in record.measures if m.name == "coding_rate"))
            for number in made:
                found.setdefault((record.cell.id, number.name), []).append(number.value or 0.0)
    return found


def clocked(records: Sequence[Record], times: dict[str, list[Measure]]) -> list[Record]:
    """Return records with the speeds of another timing."""
    return [
        record.model_copy(
            update={
                "measures": (
                    *(m for m in record.measures if m.name not in TIMED),
                    *times[record.cell.id],
                )
            }
        )
        for record in records
    ]


def summed(title: str, outcomes: Sequence[Outcome]) -> tuple[str, dict[str, Any]]:
    """Return a row of the table, and what it says as data."""
    ends = Counter(outcome.verdict for outcome in outcomes)
    blamed = {
        verdict: Counter(
            f"{item.name}" for o in outcomes for item in o.items if item.verdict == verdict
        )
        for verdict in ("regressed", "inconclusive")
    }
    n = len(outcomes)
    worst = ", ".join(f"{name} {count}" for name, count in blamed["regressed"].most_common(6))
    row = (
        f"| {title} | {n} | {share(ends['regressed'], n)} | {share(ends['inconclusive'], n)}"
        f" | {share(ends['pass'], n)} | {worst} |"
    )
    return row, {
        "gates": n,
        "ends": dict(ends),
        **{verdict: dict(found) for verdict, found in blamed.items()},
    }


def share(count: int, n: int) -> str:
    """Return '3 (1.5 %)'."""
    return f"{count} ({100 * count / max(n, 1):.1f} %)"


@contextmanager
def busy() -> Iterator[None]:
    """Keep one core busy with another process."""
    other = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        other.kill()
        other.wait()


@contextmanager
def idle() -> Iterator[None]:
    """Nothing beside."""
    yield


def run(command: Sequence[str]) -> str:
    """Run a program on one thread and return what it printed."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "LDMBENCH_MLFLOW": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}"
        )
    return done.stdout


def write(path: Path, text: str) -> None:
    """Write a file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def say(text: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def main() -> None:
    """Do what is asked of the campaign, or all of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no busy process stays behind
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="in miniature: some minutes")
    parser.add_argument("--only", choices=STEPS, action="append", default=[])
    parser.add_argument("--set", action="append", default=[], help="changes of the suite")
    for name in Size.__dataclass_fields__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    given = parser.parse_args()
    base = SMALL if given.small else Size()
    size = Size(**{n: getattr(given, n) or getattr(base, n) for n in Size.__dataclass_fields__})
    campaign = Campaign(given.folder, size, given.set)
    steps: dict[str, Callable[[], None]] = {
        "models": campaign.models,
        "quiet": lambda: campaign.time("quiet", size.quiet),
        "slow": lambda: campaign.time("slow", size.slow),
        "load": lambda: campaign.time("load", size.load),
        "judge": campaign.judge,
    }
    for name, step in steps.items():
        if not given.only or name in given.only:
            step()


if __name__ == "__main__":
    main()
