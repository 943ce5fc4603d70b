"""Rules about protocols: they exist, name what there is, and agree on the samples they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.metrics import METRICS, Metric
from ldmbench.catalog.normalisers import NORMALISER_SIDE, NORMALISERS
from ldmbench.errors import InputError
from ldmbench.plugin_files import points, sources
from ldmbench.registry import nearest
from ldmbench.schema.protocol import Override, Protocol
from ldmbench.schema.suite import Suite
from ldmbench.suite.protocol_files import shipped_protocols, unknown_extractors
from ldmbench.suite.protocols import pinned, protocols_of, real_images, written_protocols
from ldmbench.suite.read import Loc


def check_protocols(
    suite: Suite, inputs: Mapping[str, tuple[str, ...]], folder: Path = Path()
) -> Iterator[tuple[Loc, str]]:
    """Yield (place, problem) of the protocols of a suite.

    Args:
        suite: as written.
        inputs: model -> what it is conditioned on.
        folder: of the suite file, where extractors of the user's own may lie.
    """
    several = isinstance(suite.protocol, tuple)
    for position, one in enumerate(written_protocols(suite)):
        yield from _one(one, ("protocol", position) if several else ("protocol",), folder)
    try:
        protocols = protocols_of(suite)
    except InputError:
        return
    twice = [name for name, times in Counter(p.name for p in protocols).items() if times > 1]
    if twice:
        yield ("protocol",), f"found {twice[0]} twice; name each once, or change a field of one"
    yield from _shared(suite, protocols, inputs)
    yield from _metrics(suite, protocols, inputs)


def _one(one: str | Override | Protocol, loc: Loc, folder: Path) -> Iterator[tuple[Loc, str]]:
    if isinstance(one, Protocol):  # of a file, perhaps with changes
        said = {name: getattr(one, name) for name in ("extractor", "clip", "fdr_extractors")}
        yield from _extractors(said, loc, folder)
        return
    name = one.base if isinstance(one, Override) else one
    there = shipped_protocols()
    if name not in there:
        place = (*loc, "base") if isinstance(one, Override) else loc
        allowed = f"{', '.join(there)}, or a file such as ./mine.yaml"
        yield place, f"unknown protocol '{name}'{nearest(name, there)}; allowed: {allowed}"
    if isinstance(one, Override):
        said = {field: getattr(one, field) for field in one.model_fields_set}
        yield from _extractors(said, loc, folder)


def _extractors(said: dict[str, Any], loc: Loc, folder: Path) -> Iterator[tuple[Loc, str]]:
    """Say which extractors there are not, and what is wrong with code; nothing of it is run."""
    yield from (((*loc, *place), text) for place, text in unknown_extractors(said))
    several = said.get("fdr_extractors") or ()
    places: dict[Loc, str] = {("extractor",): said.get("extractor", "")}
    places |= {("fdr_extractors", n): name for n, name in enumerate(several)}
    for place, name in places.items():
        if ":" in name or name in points("extractors"):
            try:
                sources(name, folder.resolve(), "extractors")
            except InputError as error:
                yield (*loc, *place), str(error)


def _shared(
    suite: Suite, protocols: tuple[Protocol, ...], inputs: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[Loc, str]]:
    """Say where protocols that score the same samples want them drawn differently."""
    for field in ("quantize", "timesteps"):
        rules = pinned(protocols, field)
        if len(rules) > 1 and getattr(suite.sample, field) is None:
            yield ("protocol",), f"{_apart(rules, field)}; set sample.{field}"
    rules = pinned(protocols, "classes")
    if len(rules) > 1 and any("class" in conditionings for conditionings in inputs.values()):
        yield ("protocol",), f"{_apart(rules, 'classes')}; give one {{base: ..., classes: ...}}"


def _apart(rules: Mapping[str, str], field: str) -> str:
    wanted = ", ".join(f"{name} has {field} {value}" for value, name in rules.items())
    return f"the same samples are scored under all protocols, but {wanted}"


def _metrics(
    suite: Suite, protocols: tuple[Protocol, ...], inputs: Mapping[str, tuple[str, ...]]
) -> Iterator[tuple[Loc, str]]:
    for position, metric in enumerate(suite.metrics):
        loc: Loc = ("metrics", position)
        row = METRICS.get(metric)
        if row is None:
            continue
        needed = row.family.needs
        for protocol in protocols if needed in ("logits", "spatial") else ():
            spec = EXTRACTORS.get(row.family.extractor_of(protocol))
            if spec is not None and not getattr(spec, needed):
                able = [e for e in EXTRACTORS if getattr(EXTRACTORS[e], needed)]
                yield (
                    loc,
                    f"{metric} needs {needed} features, which {spec.name} of {protocol.name} has"
                    f" not; allowed: {', '.join(able)}",
                )
        for protocol in protocols if row.family.defined_on else ():
            if not protocol.extractor.startswith(row.family.defined_on):
                able = [e for e in EXTRACTORS if e.startswith(row.family.defined_on)]
                yield (
                    loc,
                    f"{metric} is defined on features of {row.family.defined_on}, and"
                    f" {protocol.name} has {protocol.extractor}; allowed: {', '.join(able)}",
                )
        if row.family.against == "validation":
            yield from _ratio(suite, protocols, row, loc)
        if row.family.against == "training":
            yield from _unseen(suite, protocols, row, loc)
        if row.family.against == "pair":
            # A first stage alone has no condition.
            aims = any(not kinds or "truth" in kinds for kinds in inputs.values())
            aims = aims or not row.in_suite
            yield from _pairs(suite, row, loc, aims=aims)


def _ratio(
    suite: Suite, protocols: tuple[Protocol, ...], row: Metric, loc: Loc
) -> Iterator[tuple[Loc, str]]:
    """Refuse normalisers that are not of these data and spaces."""
    for protocol in protocols:
        spaces = row.family.extractors_of(protocol)
        twice = [name for name, times in Counter(spaces).items() if times > 1]
        if twice:
            yield loc, f"found {twice[0]} twice among the spaces of {protocol.name}; name it once"
        for name, data in suite.data.items():
            if protocol.fdr_normalisers == "validation":
                if real_images(protocol, name).split == "validation":
                    yield (
                        loc,
                        f"{row.name} divides by the distance of validation images, but they are"
                        f" the reference of {protocol.name} for data.{name}; allowed: a reference"
                        " of another split, or fdr_normalisers: printed",
                    )
                continue
            unknown = [space for space in spaces if space not in NORMALISERS]
            if unknown:
                yield (
                    loc,
                    f"{row.name} under {protocol.name} has printed normalisers, and none is printed"
                    f" for {unknown[0]}; allowed: {', '.join(NORMALISERS)}, or fdr_normalisers:"
                    " validation",
                )
            sides = data.resolution if isinstance(data.resolution, tuple) else (data.resolution,)
            if data.kind == "shapes" or any(side != NORMALISER_SIDE for side in sides):
                yield (
                    loc,
                    f"{row.name} under {protocol.name} has normalisers printed for ImageNet at"
                    f" {NORMALISER_SIDE} px, and data.{name} is {data.kind} at"
                    f" {', '.join(map(str, sides))} px; allowed: fdr_normalisers: validation",
                )


def _unseen(
    suite: Suite, protocols: tuple[Protocol, ...], row: Metric, loc: Loc
) -> Iterator[tuple[Loc, str]]:
    """Refuse a reference that the models have seen."""
    for protocol in protocols:
        for name in suite.data:
            split = real_images(protocol, name).split
            if split == "train":
                yield (
                    loc,
                    f"{row.name} compares samples with real images that no model saw, but the"
                    f" reference of {protocol.name} for data.{name} is the split train; allowed: a"
                    f" protocol with another, such as {{base: {protocol.name.partition('[')[0]},"
                    " reference_split: reference}",
                )


def _pairs(suite: Suite, row: Metric, loc: Loc, *, aims: bool) -> Iterator[tuple[Loc, str]]:
    if "reconstruction" not in suite.probes and not aims:
        yield (
            loc,
            f"{row.name} compares reconstructions, or samples of a task that starts from an image,"
            " with their images; add the probe reconstruction",
        )
    for name, data in suite.data.items():
        sides = data.resolution if isinstance(data.resolution, tuple) else (data.resolution,)
        small = [side for side in sides if side < row.smallest]
        if small:
            yield (
                loc,
                f"{row.name} needs images of {row.smallest} pixels or more, but data.{name} has"
                f" resolution {small[0]}",
            )
