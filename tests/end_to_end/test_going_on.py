"""`keep_state` and `init` through `run`: longer budgets go on, and trainings start from weights."""

import json

import pytest
import tiny

import ldmbench

SETS = {"models.pixel.denoiser.keep_state": True, "sample.steps": 2, "metrics": ["fid"]}


def told(run, name):
    """Return steps of the budget -> a fact of the cost of the training."""
    found = {}
    for record in run.records:
        folder = run._all_runs.root / "denoiser" / record.keys["denoiser"]
        cost = json.loads((folder / "cost.json").read_text())
        found[cost["steps"]] = cost[name]
    return found


def digests(run):
    """Return key -> digest of what each training wrote."""
    keys = {record.keys["denoiser"] for record in run.records}
    manifests = [run._all_runs.root / "denoiser" / key / "manifest.json" for key in sorted(keys)]
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in manifests}


@pytest.mark.slow
def test_longer_budgets_go_on_from_shorter_ones_in_one_suite_and_in_the_next(tmp_path):
    suite = tiny.write_suite(tmp_path)
    budgets = {"models.pixel.budget.steps": [6, 3]}
    run = ldmbench.run(suite, store=tmp_path / "kept", set=SETS | budgets)
    assert told(run, "continued_from") == {3: 0, 6: 3}
    longer = {"models.pixel.budget.steps": [3, 6, 9]}
    run = ldmbench.run(suite, store=tmp_path / "kept", set=SETS | longer)
    assert told(run, "continued_from") == {3: 0, 6: 3, 9: 6}
    plain = ldmbench.run(
        suite,
        store=tmp_path / "plain",
        set=SETS | longer | {"models.pixel.denoiser.keep_state": False},
    )
    assert digests(plain) == digests(run)
    assert set(told(plain, "continued_from").values()) == {0}
    anew = ldmbench.run(
        suite,
        store=tmp_path / "kept",
        set=SETS | {"models.pixel.budget.steps": 9},
        fresh=["denoiser"],
    )
    assert told(anew, "continued_from") == {9: 0}
    assert digests(anew).items() <= digests(run).items()


@pytest.mark.slow
def test_a_training_starts_from_another_and_from_an_exported_model(tmp_path):
    store = tmp_path / "store"
    run = ldmbench.run(tiny.write_suite(tmp_path), store=store, set={"sample.steps": 2})
    run.export(run.cells[0].id, tmp_path / "exported")
    models = {
        "named": {"init": "pixel", "budget": {"steps": 1}},
        "exported": {
            "init": "./exported",
            "autoencoder": {"f": 1},
            "denoiser": {
                "channels": 8,
                "context_channels": 8,
                "batch": 4,
                "multipliers": [1, 1],
                "warmup": 1,
            },
            "budget": {"steps": 1},
        },
    }
    sets = {"sample.steps": 2} | {f"models.{name}": model for name, model in models.items()}
    run = ldmbench.run(tiny.write_suite(tmp_path), store=store, set=sets)
    assert not run.failed
    by_model = {record.cell.model: record for record in run.records}
    keys = {name: by_model[name].keys["denoiser"] for name in models}
    assert len(set(keys.values())) == 2
    weights = {
        name: (store / "denoiser" / key / "unet" / "diffusion_pytorch_model.safetensors")
        for name, key in keys.items()
    }
    assert weights["named"].read_bytes() == weights["exported"].read_bytes()
    days = {
        name: {m.name: m for m in by_model[name].measures}["source_device_days"] for name in models
    }
    assert days["named"].value > 0
    assert days["exported"].value is None
    assert "starts from the weights of ./exported (weights" in " ".join(
        by_model["exported"].warnings
    )
