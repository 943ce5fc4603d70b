"""Models that start from another model of the suite: what they do not write is that model's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ldmbench.schema.suite import Suite
from ldmbench.suite.read import Loc

__all__ = ["check_starts", "check_states", "source_named", "with_sources"]


def source_named(init: object, models: Mapping[str, object]) -> str | None:
    """Return the model of the suite that `init` names, or None: it is a place on disk.

    Args:
        init: a model's name, its name with axes (`mine[f=4]`), or the id of a cell.
        models: of the suite, by name.
    """
    name = init.partition("/")[0].partition("[")[0] if isinstance(init, str) else ""
    return name if name in models else None


def with_sources(values: Any) -> Any:
    """Return a suite's values in which each model has what it does not write of its source.

    Of a source in the same suite, the fields of `denoiser` one by one, and `autoencoder` as a
    whole. Values are as YAML has them, not checked yet.
    """
    models = values.get("models") if isinstance(values, dict) else None
    if not isinstance(models, dict):
        return values
    return {**values, "models": {name: _filled(name, models, ()) for name in models}}


def _filled(name: str, models: Mapping[str, Any], above: tuple[str, ...]) -> Any:
    model = models[name]
    init = model.get("init") if isinstance(model, dict) else None
    source = source_named(init, models)
    if source is None or source in (*above, name):  # `check_starts` refuses a ring
        return model
    theirs = _filled(source, models, (*above, name))
    if not isinstance(theirs, dict) or theirs.get("kind", "ldm") != "ldm":
        return model
    found, chosen = {**model}, _chosen(str(init))
    if "autoencoder" not in model and "autoencoder" in theirs:
        found["autoencoder"] = _narrowed(theirs["autoencoder"], chosen, "autoencoder")
    sections = theirs.get("denoiser", {}), model.get("denoiser", {})
    if all(isinstance(section, dict) for section in sections) and any(sections):
        found["denoiser"] = {**_narrowed(sections[0], chosen, "denoiser"), **sections[1]}
    return found


def _chosen(init: str) -> dict[str, str]:
    """Return the values of axes that a name such as `mine[f=4]/shapes/...` states."""
    _, bracket, rest = init.partition("/")[0].partition("[")
    pairs = rest.rstrip("]").split(",") if bracket else ()
    return {axis: value for axis, _, value in (pair.partition("=") for pair in pairs)}


def _narrowed(value: Any, chosen: Mapping[str, str], path: str) -> Any:
    """Return values in which an axis that `chosen` names has the value that it states."""
    if isinstance(value, dict):
        return {name: _narrowed(v, chosen, f"{path}.{name}") for name, v in value.items()}
    stated = next((v for axis, v in chosen.items() if f".{path}".endswith(f".{axis}")), None)
    if stated is None or not isinstance(value, list):
        return value
    texts = [f"{v:g}" if isinstance(v, float) else str(v) for v in value]
    return value[texts.index(stated)] if stated in texts else value


def check_states(suite: Suite) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of trainings whose state a longer one cannot go on from."""
    for name, model in suite.models.items():
        if model.kind != "ldm" or not model.denoiser.keep_state:
            continue
        place = ("models", name, "denoiser", "keep_state")
        if model.budget.device_minutes is not None:
            yield (
                place,
                "found true with budget.device_minutes: minutes end at another step in every run;"
                " allowed: a budget in steps, images or flops",
            )
        schedule = getattr(model.denoiser, "schedule", "constant")
        falls = [s for s in ("cosine", "linear") if s == schedule or s in (*schedule,)]
        if falls:
            yield (
                place,
                f"found true with schedule: {falls[0]}: the rate of each step depends on the whole"
                " budget, so a longer training is another one from its first step; allowed:"
                " schedule: constant",
            )


def check_starts(suite: Suite) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of models that start from themselves, through others too."""
    sources = {
        name: source_named(getattr(model, "init", None), suite.models)
        for name, model in suite.models.items()
    }
    for name in suite.models:
        way, at = [name], sources[name]
        while at is not None and at not in way:
            way, at = [*way, at], sources[at]
        if at == name:
            yield (
                ("models", name, "init"),
                f"{' -> '.join([*way, name])} is a ring; allowed: a model that does not start"
                f" from {name}",
            )
