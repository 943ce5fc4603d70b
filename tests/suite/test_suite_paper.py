"""Suites that are tables and figures of papers: each has a twin, and says what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.plan import expand
from ldmbench.schema.models import FirstStageModel, LdmModel, LoadModel
from ldmbench.session.planning import planned
from ldmbench.suite.absence import Absent, in_one_list
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

FOLDER = Path(__file__).parent.parent.parent / "suites" / "paper"
TWINS = sorted(FOLDER.glob("*_shapes.yaml"))
REAL = [twin.with_name(twin.name.replace("_shapes", "")) for twin in TWINS]
QUICK = {
    "imagenet256_rae_shapes": ("dit-xl",),
    "table1_unconditional_shapes": ("plain", "fine"),
    "table18_compute_shapes": ("churches", "ldm-4"),
}
"""Those that take least to run, and the models that they train."""
NOT_ON_SHAPES = {"sfid": "shapes-net has no spatial features", "lpips": "weights do not ship"}

SAMPLED = ("sampler", "steps", "eta", "guidance", "guidance_interval", "checkpoint", "size")


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def test_each_suite_has_a_twin():
    assert set(FOLDER.glob("*.yaml")) == {*TWINS, *REAL}
    assert {path.stem for path in TWINS} >= {*QUICK}
    for path in (*TWINS, *REAL):
        assert load_suite(path).name == path.stem


def varied(path, monkeypatch):
    """Return dimension -> values that the cells of a suite have in it, files or none."""
    monkeypatch.setattr(expand, "with_facts", lambda model, folder: model)
    suite = load_suite(path).written
    found = {}
    for point in expand.points(suite, path.parent):
        values = {name: getattr(point.sample, name) for name in SAMPLED if point.sample}
        values |= {"model": point.model, "dataset": point.dataset}
        spec = point.spec
        values |= {"latents": spec.latents} if isinstance(spec, LoadModel) else {}
        if isinstance(spec, FirstStageModel):
            values |= {"latents": spec.autoencoder.latents}
        if isinstance(spec, LdmModel):
            first = spec.autoencoder
            values |= {"conditioning": spec.denoiser.conditioning, "mask": spec.denoiser.mask}
            values |= {"first stage": (first.path, first.f, first.regularization, first.weights)}
            values |= {"pixels": first.path is None and first.f == 1}
        for name, value in values.items():
            found.setdefault(name, set()).add(value)
    found["kind"] = {isinstance(model, LdmModel | LoadModel) for model in suite.models.values()}
    protocol = suite.protocol
    found["protocol"] = {*map(str, protocol if isinstance(protocol, tuple) else (protocol,))}
    found["metrics"] = {*suite.metrics}
    found["probes"] = {*suite.probes}
    return found


@named(TWINS)
def test_a_twin_drops_no_axis_of_its_suite(path, monkeypatch):
    twin, real = (varied(p, monkeypatch) for p in (path, REAL[TWINS.index(path)]))
    for name, values in real.items():
        if name in ("metrics", "probes"):
            assert twin[name] >= values - {*NOT_ON_SHAPES}
        elif len(values) > 1:
            assert len(twin[name]) > 1, f"{path.stem}: {name} is {twin[name]}, there {values}"


@named(TWINS)
def test_a_twin_is_planned_within_a_few_minutes(path, tmp_path):
    _, plan = planned(path, (), (), store=tmp_path)
    assert 2 <= len(plan.cells) <= 12
    assert all(cell.data_kind == "shapes" and (cell.count or 0) <= 256 for cell in plan.cells)
    trained = [getattr(s.params, "section", s.params) for s in plan.stages]
    budgets = [getattr(s.params, "budget", None) for s in plan.stages]
    budgets = [*budgets, *(getattr(section, "budget", None) for section in trained)]
    budgets = [budget for budget in budgets if budget]
    assert budgets
    assert all(budget.steps <= 100 for budget in budgets)


@named(REAL)
def test_without_files_a_suite_lists_all_that_has_to_be_on_disk(path, tmp_path, capsys):
    loaded = load_suite(path)
    assert outcome(["plan", str(path), "--store", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    listed = [line for line in lines if "which is not there (looked for" in line]
    assert len(lines) == len(listed) + (len(listed) > 1), lines  # nothing else is wrong
    places = [line.partition("looked for ")[2].partition(")")[0] for line in listed]
    assert len({*places}) == len(places)
    suite, folder = loaded.written, path.parent.resolve()
    wanted = {str((folder / data.path).resolve()) for data in suite.data.values()}
    for model in suite.models.values():
        written = model if model.kind == "load" else getattr(model, "autoencoder", None)
        paths = getattr(written, "path", None) or ()
        each = (paths,) if isinstance(paths, str) else paths
        wanted |= {str((folder / place).resolve()) for place in each}
    assert {*places} == wanted
    for line in listed:
        if ": data." in line:
            assert "; from " in line
        else:
            assert "; this is " in line
            assert "https://" in line
    if len(listed) > 1:
        assert f"{len(listed)} files or folders have to be on disk" in lines[-1]
        assert "ldmbench downloads none of them" in lines[-1]


def test_other_problems_come_before_what_is_not_on_disk(tmp_path):
    suite = tmp_path / "mixed.yaml"
    suite.write_text(
        "suite: mixed\n"
        "protocol: ldm-2112.10752\n"
        "data:\n"
        "  a: {kind: celebahq, path: gone}\n"
        "  b: {kind: ffhq, path: gone too}\n"
        "models:\n"
        "  x: {kind: load, path: nowhere/model.ckpt, data: c}\n"
        "  y: {kind: load, path: nowhere/model.ckpt}\n"
    )
    with pytest.raises(SuiteError) as error:
        check_suite(load_suite(suite))
    first, *rest = error.value.problems
    assert "models.x.data: unknown dataset 'c'" in first
    assert [line.split(": ")[1] for line in rest[:3]] == [
        "data.a.path", "data.b.path", "models.x.path"
    ]  # fmt: skip
    assert rest[2].endswith("; also models.y.path")
    assert "3 files or folders have to be on disk" in rest[3]
    assert "weights of evaluators to fetch or import, too: inception-v3-compat" in rest[3]


def test_one_missing_file_has_no_total():
    loaded = load_suite(FOLDER / "table2_text.yaml")
    found = [(("data", "mscoco-256", "path"), Absent("gone"))]
    [line] = in_one_list(found, loaded.places, loaded.written)
    assert line.endswith(":9: data.mscoco-256.path: gone")


def run_through(path, tmp_path, capsys, *changes):
    """Run a twin and return its report."""
    store = ["--store", str(tmp_path)]
    sets = [part for change in ("mlflow.enabled=false", *changes) for part in ("--set", change)]
    assert outcome(["run", path.stem, *store, *sets]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert outcome(["report", "--format", "markdown", *store]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_twin_runs(name, tmp_path, capsys):
    steps = [f"models.{model}.budget.steps=4" for model in QUICK[name]]
    smaller = (*steps, "sample.count=64", "speed={batch: 2, repeats: 2}")
    path = FOLDER / f"{name}.yaml"
    assert "fid" in run_through(path, tmp_path, capsys, *smaller).lower()


@pytest.mark.campaign
@named(TWINS)
def test_every_twin_runs(path, tmp_path, capsys):
    assert "fid" in run_through(path, tmp_path, capsys).lower()


def faces(folder, lists, count=6):
    """Write numbered images with lists of taming-transformers: two thirds train."""
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (64, 72), (40 * number, 0, 0)).save(folder / f"{number:05d}.png")
    for name, numbers in zip(lists, (range(4), range(4, count)), strict=True):
        (folder / f"{name}.txt").write_text("".join(f"{n:05d}.png\n" for n in numbers))


def scenes(folder):
    """Write exported images of two categories of LSUN, with CompVis's lists."""
    for category, name in ((1, "church_outdoor"), (2, "bedrooms")):
        keys = [f"{category}{number:039x}" for number in range(6)]
        for number, key in enumerate(keys):
            place = folder / name / f"{key}.webp"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 72), (0, 40 * number, category)).save(place)
        for split, chosen in (("train", keys[:4]), ("val", keys[4:])):
            (folder / f"{name}_{split}.txt").write_text("".join(f"{key}.webp\n" for key in chosen))


def test_where_its_files_are_table_1_has_the_steps_and_eta_of_the_paper(tmp_path):
    faces(tmp_path / "celebahq", ("celebahqtrain", "celebahqvalidation"))
    faces(tmp_path / "ffhq", ("ffhqtrain", "ffhqvalidation"))
    scenes(tmp_path / "lsun")
    small = FOLDER.parents[1] / "tests" / "golden" / "compvis" / "ldm-uncond-vqf4"
    named = {"celebahq-256": "celebahq", "ffhq-256": "ffhq"}
    named |= {"lsun-churches-256": "lsun", "lsun-bedrooms-256": "lsun"}
    sets = [f"data.{name}.path={tmp_path / place}" for name, place in named.items()]
    sets += [f"data.{name}.resolution=64" for name in named]  # what the stand-in makes
    models = ("celebahq", "ffhq", "churches", "bedrooms")
    sets += [f"models.{name}.path={small}" for name in models]
    _, plan = planned(FOLDER / "table1_unconditional.yaml", sets, (), store=tmp_path / "store")
    assert [cell.id for cell in plan.cells] == [
        "celebahq/celebahq-256/ddim-500/g1/s0",
        "ffhq/ffhq-256/ddim-200-eta1/g1/s0",
        "churches/lsun-churches-256/ddim-200/g1/s0",
        "bedrooms/lsun-bedrooms-256/ddim-200-eta1/g1/s0",
    ]
    assert {cell.count for cell in plan.cells} == {50_000}
    assert {cell.timesteps for cell in plan.cells} == {"compvis"}
    prepared = {s.params.source.kind: s.params.source.preparation for s in plan.stages
                if s.kind == "dataset"}  # fmt: skip
    assert prepared["celebahq"] == prepared["ffhq"] == ("shortest", "linear")
    assert prepared["lsun"] == ("lsun", "pil-bicubic")
