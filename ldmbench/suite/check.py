"""Rules across fields: names exist, shapes agree, what is asked can be measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import get_args

from ldmbench.catalog.metrics import METRICS, listed
from ldmbench.catalog.tasks import CONDITIONINGS, TASKS
from ldmbench.errors import InputError, SuiteError
from ldmbench.registry import nearest
from ldmbench.schema.data import LARGEST_SCENE
from ldmbench.schema.models import Downsampling, FirstStageModel, LdmModel, Model, ModelFacts
from ldmbench.schema.suite import Suite
from ldmbench.schema.weights import first_stages_in
from ldmbench.sources.judges import JUDGES
from ldmbench.suite.absence import absent_data, in_one_list
from ldmbench.suite.alone import check_alone, codes
from ldmbench.suite.axes import many
from ldmbench.suite.check_protocols import check_protocols
from ldmbench.suite.choice import check_choice
from ldmbench.suite.first_stages import check_first_stages, factors_of
from ldmbench.suite.load import LoadedSuite
from ldmbench.suite.models import all_facts, check_called, check_loaded
from ldmbench.suite.networks import check_network
from ldmbench.suite.objectives import check_objective
from ldmbench.suite.own import metric_arguments
from ldmbench.suite.protocols import pinned, protocols_of
from ldmbench.suite.read import Loc
from ldmbench.suite.sampling import (
    check_intervals,
    check_loaded_sampling,
    check_sampling,
    why_not_guided,
)
from ldmbench.suite.starts import check_starts, check_states
from ldmbench.suite.tasks import check_tasks


def check_suite(loaded: LoadedSuite) -> None:
    """Check what no single field can know.

    Raises:
        SuiteError: with all problems in one pass.
    """
    suite, folder = loaded.written, loaded.path.parent
    inputs = {name: _inputs_of(model, folder) for name, model in suite.models.items()}
    found = [
        *check_protocols(suite, inputs, folder),
        *_own_metrics(suite, folder),
        *_names(suite),
        *check_starts(suite),
        *check_states(suite),
        *_shapes(suite),
        *_networks(suite, folder),
        *check_first_stages(suite, folder),
        *_scenes(suite),
        *_classes(suite, inputs),
        *_shipped(suite),
        *_foreign(suite, folder),
        *check_alone(suite, folder),
        *_training(suite),
        *_tasks(suite, folder),
        *_objectives(suite),
        *_sampling(suite, folder),
        *_intervals(suite, folder),
        *_coding(suite, folder),
        *_guidance(suite, inputs, folder),
        *check_choice(suite),
        *_metrics(suite, inputs),
        *_judges(suite, folder),
        *absent_data(suite, folder),
    ]
    if found:
        raise SuiteError(in_one_list(found, loaded.places, suite))


def _names(suite: Suite) -> Iterator[tuple[Loc, str]]:
    for name, model in suite.models.items():
        if model.data is not None and model.data not in suite.data:
            yield (
                ("models", name, "data"),
                f"unknown dataset '{model.data}'{nearest(model.data, suite.data)};"
                f" allowed: {', '.join(suite.data)}",
            )


def _shapes(suite: Suite) -> Iterator[tuple[Loc, str]]:
    for name, model in _with_section(suite):
        for f in many(model.autoencoder.f):
            for dataset in _datasets(suite, model):
                for side in many(suite.data[dataset].resolution):
                    if side % f or side // f < 2:
                        yield (
                            ("models", name, "autoencoder", "f"),
                            f"f = {f} is impossible at resolution {side} (data.{dataset}): the"
                            f" side must divide by f and leave a latent of 2 x 2 or more;"
                            f" allowed: {', '.join(map(str, _possible(side)))}",
                        )


def _networks(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    for name, model in trained(suite):
        shown = [many(suite.data[d].resolution) for d in _datasets(suite, model)]
        factors = factors_of(model.autoencoder, folder)
        sides = {side // f for side in chain(*shown) for f in factors}
        for field, text in check_network(model.denoiser, sides):
            yield ("models", name, "denoiser", field), text


def _scenes(suite: Suite) -> Iterator[tuple[Loc, str]]:
    for name, data in suite.data.items():
        for side in many(data.resolution) if data.kind == "shapes" else ():
            if side > LARGEST_SCENE:
                yield (
                    ("data", name, "resolution"),
                    f"found {side}, but shapes are drawn at 8 to {LARGEST_SCENE} pixels",
                )


def _classes(suite: Suite, inputs: dict[str, tuple[str, ...]]) -> Iterator[tuple[Loc, str]]:
    """Ask how many classes the user's own images have, where a protocol draws from them."""
    try:
        rules = pinned(protocols_of(suite), "classes")
    except InputError:  # said of the protocol itself
        return
    shown = (_datasets(suite, suite.models[m]) for m in inputs if "class" in inputs[m])
    for name in dict.fromkeys(chain.from_iterable(shown)) if rules else ():
        data = suite.data[name]
        if data.kind == "call" and data.classes is None:
            rule, protocol = next(iter(rules.items()))
            yield (
                ("data", name, "classes"),
                f"required, found nothing; {protocol} draws the classes of samples ({rule}), so"
                " write how many there are, such as classes: 10",
            )


def _shipped(suite: Suite) -> Iterator[tuple[Loc, str]]:
    at_hand = {(row.f, row.regularization) for row in first_stages_in()}
    for name, model in _with_section(suite):
        if model.autoencoder.weights is None:
            continue
        for f in many(model.autoencoder.f):
            for regularization in many(model.autoencoder.regularization):
                if f != 1 and (f, regularization) not in at_hand:
                    there = ", ".join(f"{r} f = {n}" for n, r in sorted(at_hand)) or "none"
                    yield (
                        ("models", name, "autoencoder", "weights"),
                        f"no first stage ships for {regularization} f = {f};"
                        f" allowed: {there}; leave `weights` out to train one",
                    )


def _possible(side: int) -> list[int]:
    return [f for f in get_args(Downsampling) if side % f == 0 and side // f >= 2]


def _foreign(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Say what is missing or does not fit of models that are not trained here, all at once."""
    for name, model in suite.models.items():
        if model.kind == "load":
            data = {dataset: suite.data[dataset] for dataset in _datasets(suite, model)}
            for field, text in check_loaded(model, folder, data=data):
                yield ("models", name, field), text
        elif model.kind == "call":
            for field, text in check_called(model, folder, "models"):
                yield ("models", name, field), text
    for name, noun in suite.data.items():
        if noun.kind == "call":
            for field, text in check_called(noun, folder, "datasets"):
                yield ("data", name, field), text


def _tasks(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    for name, model in trained(suite):
        data = {dataset: suite.data[dataset] for dataset in _datasets(suite, model)}
        for field, text in check_tasks(model.denoiser, data, folder):
            yield ("models", name, "denoiser", field), text


def _training(suite: Suite) -> Iterator[tuple[Loc, str]]:
    for name, model in suite.models.items():
        kept = {1.0, *(model.denoiser.checkpoints if model.kind == "ldm" else ())}
        for share in many(suite.sample.checkpoint):
            if share not in kept:
                what = ".denoiser.checkpoints keeps" if model.kind == "ldm" else ", as it is, has"
                yield (
                    ("sample", "checkpoint"),
                    f"found {share:g}, but models.{name}{what}"
                    f" {', '.join(f'{p:g}' for p in sorted(kept))}",
                )


def _objectives(suite: Suite) -> Iterator[tuple[Loc, str]]:
    for name, model in trained(suite):
        for field, text in check_objective(model.denoiser):
            yield ("models", name, "denoiser", field), text


def _intervals(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    for name, model in suite.models.items():
        known: list[ModelFacts | None] = [f for f in all_facts(model, folder) if f.samples]
        if model.kind in ("ldm", "call"):
            known = [None]
        for facts in known:
            yield from check_intervals(suite, name, model, facts, _datasets(suite, model))


def _coding(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Refuse progressive coding of what is no diffusion in timesteps of betas."""
    for name, model in suite.models.items() if "coding" in suite.probes else ():
        facts = all_facts(model, folder)
        if any(one.own for one in facts):
            yield (
                ("probes", suite.probes.index("coding")),
                f"coding asks the denoiser itself, and models.{name} samples by its own call; leave"
                " the probe or the model out",
            )
        objectives = many(model.denoiser.objective) if model.kind == "ldm" else ()
        others = {"flow": "a flow", "regression": "a regression"}
        found = [word for objective, word in others.items() if objective in objectives]
        for word in ["a flow"] if any(one.flow for one in facts) else found:
            yield (
                ("probes", suite.probes.index("coding")),
                f"coding sends a latent timestep by timestep (arXiv:2006.11239), and models.{name}"
                f" is {word}, which has none; leave the probe or the model out",
            )


def _sampling(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    for name, model in suite.models.items():
        if model.kind == "ldm":
            yield from check_sampling(suite, name, model, _datasets(suite, model))
        for facts in all_facts(model, folder):
            if facts.samples:
                yield from check_loaded_sampling(suite, name, facts, _datasets(suite, model))


def _guidance(
    suite: Suite, inputs: dict[str, tuple[str, ...]], folder: Path
) -> Iterator[tuple[Loc, str]]:
    """Refuse guidance of models that have none; where cells are left out, `plan.fit` does."""
    for name, model in suite.models.items() if not (suite.include or suite.exclude) else ():
        classes = [f for f in all_facts(model, folder) if f.conditioning == "class"]
        null = None if any(f.null_class is None for f in classes) else 0
        reason = why_not_guided(inputs[name], null)
        if all(many(getattr(model, "guidance_model", None))):
            continue  # another model guides
        for guidance in many(suite.sample.guidance):
            if reason and guidance != 1:
                yield ("sample", "guidance"), f"found {guidance:g}, but models.{name} {reason}"


def _metrics(suite: Suite, inputs: dict[str, tuple[str, ...]]) -> Iterator[tuple[Loc, str]]:
    conditionings = {c for found in inputs.values() for c in found}
    known = all(inputs.values())  # of a model that is not there, or has no condition, nothing is
    if not conditionings:  # nothing samples, and no metric of samples has a value
        return
    for position, name in enumerate(suite.metrics):
        row = METRICS.get(name)
        if row and row.family.against == "caption" and "caption" not in conditionings and known:
            found = ", ".join(sorted(conditionings))
            yield (
                ("metrics", position),
                f"{name} needs a model with conditioning caption; found {found}",
            )
        wanted = {"class": {"class", "caption", "truth"}, "scene": {"truth"}}
        wanted_inputs = wanted.get(row.family.against) if row else None
        if row and wanted_inputs and not wanted_inputs & conditionings and known:
            tasks = [task.name for task in TASKS.values() if task.input in wanted_inputs]
            yield (
                ("metrics", position),
                f"{name} needs a model with conditioning {' or '.join(tasks)}; found"
                f" {', '.join(sorted(conditionings))}",
            )
        for dataset, data in suite.data.items() if row and row.family.shapes else ():
            judge = next((one for one in JUDGES if row and one.reads == row.judged), None)
            if judge and getattr(suite, judge.field):
                continue
            if data.kind != "shapes":
                other = f"; allowed too: {judge.field}: FOLDER" if judge else ""
                yield (
                    ("metrics", position),
                    f"{name} is defined on kind: shapes alone, whose classes its network knows, but"
                    f" data.{dataset} is of kind {data.kind}{other}",
                )


def _judges(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Say what is wrong with networks from disk that read samples, and where none is asked for."""
    for judge in JUDGES:
        place = getattr(suite, judge.field)
        if place is None:
            continue
        rows = [row for row in METRICS.values() if row.judged == judge.reads]
        if not {row.name for row in rows} & {*suite.metrics}:
            yield (judge.field,), f"judges {listed(rows)}, and metrics names none of them"
        try:
            judge.at(place, folder)
        except InputError as error:
            yield (judge.field,), str(error)


def _own_metrics(suite: Suite, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Say what is wrong with metrics of the user's own; nothing of them is run."""
    for position, name in enumerate(suite.metrics):
        if name not in METRICS:
            try:
                metric_arguments(name, folder.resolve())
            except InputError as error:
                yield ("metrics", position), str(error)


def _inputs_of(model: Model, folder: Path) -> tuple[str, ...]:
    """Return the condition that a model takes: none, class, caption, or nothing known."""
    if model.kind == "ldm":
        return tuple(TASKS[task].input for task in many(model.denoiser.conditioning))
    if model.kind == "call":
        return () if codes(model, folder) else (model.conditioning,)
    kinds = [facts.conditioning for facts in all_facts(model, folder) if facts.samples]
    return tuple(dict.fromkeys(CONDITIONINGS.get(kind, kind) for kind in kinds))


def trained(suite: Suite) -> list[tuple[str, LdmModel]]:
    """Return the models that are trained here, with their names."""
    return [(name, model) for name, model in suite.models.items() if model.kind == "ldm"]


def _with_section(suite: Suite) -> Iterator[tuple[str, LdmModel | FirstStageModel]]:
    """Yield the models whose first stage is trained here or ships, with their names."""
    for name, model in suite.models.items():
        if isinstance(model, LdmModel):
            if model.autoencoder.path is None:
                yield name, model
        elif isinstance(model, FirstStageModel):
            yield name, model


def _datasets(suite: Suite, model: Model) -> list[str]:
    """Return the datasets a model is crossed with."""
    return [model.data] if model.data in suite.data else list(suite.data)
