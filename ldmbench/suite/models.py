"""Models of a suite that are not trained here: what is on disk, and whether it fits the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ldmbench.catalog.tasks import CONDITIONINGS
from ldmbench.errors import InputError
from ldmbench.plugin_files import Noun, sources, step_unit
from ldmbench.schema.data import CallData, Data, DataFacts
from ldmbench.schema.models import CallModel, LoadModel, Model, ModelFacts
from ldmbench.schema.zoo import released
from ldmbench.sources.kinds import open_source
from ldmbench.sources.kinds.shapes import shapes_facts
from ldmbench.sources.models.hub import snapshot
from ldmbench.sources.models.peek import peek
from ldmbench.sources.models.pipelines import check_call, read_pipeline
from ldmbench.sources.models.places import SUFFIXES, is_hub_id
from ldmbench.suite.absence import Absent
from ldmbench.suite.axes import many

RGB = 3


def place_of(name: str | None, folder: Path) -> Path | None:
    """Return a path of the suite as it is, relative ones from the suite's folder."""
    return None if name is None else (folder / name).resolve()


def model_place(path: str, folder: Path) -> Path:
    """Return where a model lies: a path, relative to the suite's folder, else a hub's folder.

    Raises:
        InputError: it is neither there nor in the hub's cache, and the hub did not give it.
    """
    place = (folder / path).resolve()
    if place.exists() or path.endswith(SUFFIXES) or not is_hub_id(path):
        return place
    return snapshot(path)


def facts_of(spec: LoadModel, folder: Path) -> ModelFacts:
    """Return what the configs of a model on disk say.

    Args:
        spec: a LoadModel, or its written form.
        folder: of the suite file.

    Raises:
        InputError: if it is not there, or its configs cannot be read.
    """
    return peek(
        model_place(spec.path, folder),
        config=place_of(spec.config, folder),
        ema=spec.ema[0] if isinstance(spec.ema, tuple) else spec.ema,
        ignore=spec.ignore,
        tokenizer=place_of(spec.tokenizer, folder),
        null_class=spec.null_class,
    )


def each_path(model: LoadModel) -> list[LoadModel]:
    """Return a written model from disk once for each of its paths."""
    return [model.model_copy(update={"path": path}) for path in many(model.path)]


def all_facts(model: Model, folder: Path) -> list[ModelFacts]:
    """Return the facts of a written model from disk, of each path whose configs can be read."""
    if not isinstance(model, LoadModel):
        return []
    found = (facts_or_none(one, folder) for one in each_path(model))
    return [facts for facts in found if facts is not None]


def samples_itself(model: Model, folder: Path) -> bool:
    """Tell whether one point of a model samples by its own call: a pipeline, or your own code."""
    if isinstance(model, CallModel):
        return True
    facts = facts_or_none(model, folder) if isinstance(model, LoadModel) else None
    return facts is not None and facts.own


def facts_or_none(spec: LoadModel, folder: Path) -> ModelFacts | None:
    """Return the facts of a loaded model, or None where `check_loaded` has something to say."""
    try:
        return facts_of(spec, folder)
    except InputError:
        return None


def check_loaded(
    spec: LoadModel, folder: Path, *, data: Mapping[str, Data]
) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) for a model on disk.

    Args:
        spec: the written form of a LoadModel.
        folder: of the suite file.
        data: the datasets that it is crossed with.
    """
    for one in each_path(spec):
        yield from _check_one(one, folder, data)


def _check_one(
    spec: LoadModel, folder: Path, data: Mapping[str, Data]
) -> Iterator[tuple[str, str]]:
    missing = list(absent(spec, folder))
    if missing:
        yield from missing
        return
    try:
        facts = facts_of(spec, folder)
    except InputError as error:
        yield "path", str(error)
        return
    if not facts.samples:
        sides = {name: many(noun.resolution) for name, noun in data.items()}
        for text in (*useless(facts), *odd_sides(facts, sides)):
            yield "path", f"found '{spec.path}', {text}"
        return
    if facts.missing and facts.conditioning == "text":
        yield "tokenizer", f"{spec.path} {facts.missing}; name its folder or file"
    elif facts.missing:
        yield "path", facts.missing
    yield from _odd_call(spec, facts, folder)
    if facts.conditioning not in CONDITIONINGS:
        yield (
            "path",
            f"found '{spec.path}', a model with the conditioning {facts.conditioning}, which no"
            f" data set of a suite has; allowed: {', '.join(CONDITIONINGS)};"
            " `ldmbench.models.load` samples this model in Python",
        )
        return
    yield from _odd_channels(spec, facts)
    for name, noun in data.items():
        for text in _unfit(facts, name, noun, folder):
            yield "path", f"found '{spec.path}', which {text}"


def _odd_call(spec: LoadModel, facts: ModelFacts, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with arguments of a pipeline's own call."""
    if facts.own and spec.guided_channels is not None:
        yield (
            "guided_channels",
            "does not reach a pipeline that samples by its own call, which guides all channels;"
            " leave it out",
        )
    if spec.call and not facts.own:
        yield (
            "call",
            "is of pipelines that sample by themselves, and this model is sampled here; leave it"
            " out",
        )
    elif spec.call:
        try:
            check_call(read_pipeline(model_place(spec.path, folder)), spec.call)
        except InputError as error:
            yield "call", str(error)


def _odd_channels(spec: LoadModel, facts: ModelFacts) -> Iterator[tuple[str, str]]:
    """Yield what is not of three channels: a suite compares RGB images with RGB images."""
    takes, makes = facts.image_channels
    if (takes, makes) != (RGB, RGB):
        what = f"images of {makes} channels" if takes == makes else f"{makes} channels from {takes}"
        yield (
            "path",
            f"found '{spec.path}', a model of {what}; allowed: RGB images (3 channels)."
            " `ldmbench.models.load` samples this model in Python; `ldmbench score` scores its"
            " images after you convert them to RGB",
        )
    elif facts.conditioning in ("image", "class-image") and facts.joined != RGB:
        yield (
            "path",
            f"found '{spec.path}', a model whose condition is an image of {facts.joined} channels;"
            " allowed: a condition of 3 channels (RGB)",
        )


def _unfit(facts: ModelFacts, name: str, noun: Data, folder: Path) -> Iterator[str]:
    """Yield how a model does not fit one dataset."""
    sides = noun.resolution if isinstance(noun.resolution, tuple) else (noun.resolution,)
    for side in sides:
        if facts.step:
            if side % facts.step:
                yield (
                    f"generates images of sides that {facts.step} divides, but data.{name} has"
                    f" resolution {side}; allowed: a data set with another resolution"
                )
        elif facts.sides != (side, side):
            made = f"{facts.sides[0]} x {facts.sides[1]}"
            yield (
                f"generates images of {made} (f = {facts.f}), but data.{name} has resolution"
                f" {side}; allowed: a data set with resolution {facts.sides[0]}"
            )
    data = data_facts(noun, folder) if facts.conditioning != "none" else None
    if data is None:
        return
    lacks = {"text": not data.captions, "layout": not data.boxes, "semantic": not data.masks}
    if lacks.get(facts.conditioning):
        what = {"text": "captions", "layout": "boxes", "semantic": "masks"}[facts.conditioning]
        yield (
            f"needs {what} as its condition, but data.{name} has none; allowed: a data set with"
            f" {what}, such as kind: shapes"
        )
    elif facts.conditioning in ("class", "layout", "semantic") and data.classes:
        needed = data.classes + (facts.conditioning == "semantic")  # and the background
        if facts.classes is not None and facts.classes < needed:
            yield (
                f"knows {facts.classes} classes, but data.{name} has {needed}"
                f"{', background included' if facts.conditioning == 'semantic' else ''}; allowed:"
                " the dataset it was trained on, or one with as many classes"
            )


def data_facts(noun: Data, folder: Path) -> DataFacts | None:
    """Return what a dataset can tell; of the user's own it is how many classes the suite says."""
    if noun.kind == "call":
        return DataFacts(classes=noun.classes, captions=True, boxes=True, masks=True)
    if noun.kind == "shapes":
        return shapes_facts()
    try:
        return (
            open_source(noun.kind, (folder / noun.path).resolve(), noun.own_fields())
            .listing()
            .facts
        )
    except InputError:  # said of the dataset itself
        return None


def absent(spec: LoadModel, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) of what a model on disk names and is not there."""
    try:
        place = model_place(spec.path, folder)
    except InputError as error:
        text = f"found '{spec.path}', which is not there: {error}{_what(spec.path, None)}"
        yield "path", Absent(text)
    else:
        if not place.exists():
            yield (
                "path",
                Absent(
                    f"found '{spec.path}', which is not there (looked for {place})"
                    f"{_what(spec.path, place)}"
                ),
            )
    for field in ("config", "tokenizer"):
        named = getattr(spec, field)
        if named is not None and not (folder / named).exists():
            place = (folder / named).resolve()
            yield field, Absent(f"found '{named}', which is not there (looked for {place})")


def _what(path: str, place: Path | None) -> str:
    """Return what a missing model would be and where to put it."""
    row = released(path)
    if row is None:
        allowed = "a diffusers folder, a checkpoint with its config.yaml, or a hub id (owner/name)"
        return f"; allowed: {allowed}"
    known = f"; this is {row.name} of {row.home} ({row.about}; {row.source})"
    if place is None:
        return known
    folder = place.parent if place.suffix in SUFFIXES else place
    return f"{known}: put {row.files} into {folder}"


def check_called(spec: CallModel | CallData, folder: Path, noun: Noun) -> Iterator[tuple[str, str]]:
    """Yield (field, problem) for the user's own code; nothing of it is run."""
    try:
        sources(spec.target, folder.resolve(), noun)
        if noun == "models":
            step_unit(spec.target, folder.resolve())
    except InputError as error:
        yield "target", str(error)
    for file in spec.files:
        if not (folder / file).is_file():
            yield "files", f"found '{file}', which is not a file (looked for {folder / file})"


def useless(facts: ModelFacts) -> Iterator[str]:
    """Yield why a model has no first stage for latents of RGB images."""
    if facts.latents is None and (facts.regularization != "pixel" or facts.own):
        yield (
            f"a model whose first stage lies in files of its own ({facts.source}); allowed: the"
            " path of that first stage"
        )
        return
    if facts.latents is None:
        yield (
            f"a model that works on pixels ({facts.source}) and has no first stage; allowed: a"
            " first stage, or a latent diffusion model with one; autoencoder.f: 1 trains on pixels"
        )
        return
    if not facts.encodes:
        yield (
            f"a decoder without its encoder ({facts.source}); allowed: a whole first stage, whose"
            " tensors `encoder.*` make the latents"
        )
    if facts.image_channels != (RGB, RGB):
        takes, makes = facts.image_channels
        yield (
            f"a first stage that makes {makes} channels from {takes}; allowed: one of RGB images"
            " (3 channels)"
        )


def odd_sides(facts: ModelFacts, sides: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Yield why a first stage does not fit the resolutions of data sets, by their names."""
    rule = facts.latents
    if rule is None:
        return
    for data, values in sides.items():
        for side in values:
            if rule.side is not None and side != rule.side:
                yield (
                    f"which makes images of {rule.side} x {rule.side} alone, but data.{data} has"
                    f" resolution {side}; allowed: resolution {rule.side}"
                )
            elif side % rule.f or side // rule.f < 2:
                yield (
                    f"whose f = {rule.f} is impossible at resolution {side} (data.{data}): the side"
                    " must divide by f and leave a latent of 2 x 2 or more; allowed: a multiple of"
                    f" {rule.f}, from {2 * rule.f}"
                )
