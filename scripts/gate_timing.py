"""Times the speed stage of a run's cells anew, in this fresh process; for gate_campaign.py.

    python scripts/gate_timing.py STORE RUN OUT.json... [--slow 0.10]

Each OUT is one timing of all cells, with networks loaded anew.

With --slow every evaluation of the denoiser computes that much more: convolutions beside its own,
as many as take that share of its own time, measured per shape before it is timed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ldmbench.execute.step import Outcome, run_units
from ldmbench.schema.stage import Plan
from ldmbench.schema.task import Task
from ldmbench.stages.common import let_go, prepare
from ldmbench.stages.speed import timed
from ldmbench.stages.subject import trained_at
from ldmbench.store.disk import Store
from ldmbench.store.units import Unit


def main() -> None:
    """Write {cell: measures} per timing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("run")
    parser.add_argument("out", type=Path, nargs="+")
    parser.add_argument("--slow", type=float, default=0.0)
    given = parser.parse_args()
    machine = prepare("cpu")
    plan = Plan.model_validate_json(
        (given.store / "runs" / given.run / "plan.json").read_text("utf-8")
    )
    for out in given.out:
        let_go()
        told = timing(plan, Store(given.store), machine, slow=given.slow)
        draft = out.with_suffix(".part")
        draft.write_text(json.dumps(told), "utf-8")
        shutil.move(draft, out)


def timing(plan: Plan, store: Store, machine: dict[str, Any], *, slow: float) -> dict[str, Any]:
    """Time every speed stage of a plan and return {cell: measures}."""
    stages, found = plan.by_key(), dict[str, Any]()

    def execute(task: Task) -> Outcome:
        if slow:
            places = [task.inputs[role].folders[0] for role in ("autoencoder", "denoiser")]
            burden(trained_at(*places, task.device).model, slow)
        began = time.perf_counter()
        found[task.key] = timed(task, lambda share, note: None)
        (task.output / "measures.json").write_text(json.dumps(found[task.key]), "utf-8")
        return Outcome(time.perf_counter() - began, machine)

    for key in dict.fromkeys(cell.stages["speed"] for cell in plan.cells):
        unit = Unit(stages[key])
        run_units([unit], store, stages, execute=execute, device="cpu", fresh={unit})
    return {cell.id: found[cell.stages["speed"]] for cell in plan.cells}


def burden(model: Any, share: float) -> None:
    """Make every prediction compute more: a share of its own time, once and for all."""
    if hasattr(model, "burdened"):
        return
    own: Callable[..., torch.Tensor] = model.predict
    counts: dict[tuple[int, ...], int] = {}
    x, kernel = torch.randn(1, 16, 8, 8), torch.randn(16, 16, 3, 3)

    def fill(count: int) -> None:
        for _ in range(count):
            torch.nn.functional.conv2d(x, kernel, padding=1)

    def predict(z: torch.Tensor, *more: Any) -> torch.Tensor:
        shape = tuple(z.shape)
        if shape not in counts:
            unit = seconds(lambda: fill(50)) / 50
            counts[shape] = max(1, round(share * seconds(lambda: own(z, *more)) / unit))
        fill(counts[shape])
        return own(z, *more)

    model.predict = predict
    model.burdened = True


def seconds(call: Callable[[], object]) -> float:
    """Return the median time of fifteen calls."""
    times = []
    for _ in range(15):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
