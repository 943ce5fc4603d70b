"""Protocols as YAML files: those that ship, and those of a person's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.errors import InputError, SuiteError
from ldmbench.plugin_files import points
from ldmbench.registry import nearest, pick
from ldmbench.schema.protocol import SPLITS, Override, Protocol, ProtocolFile, Recipe, overridden
from ldmbench.suite.problems import Places, mapping, problems_of
from ldmbench.suite.read import Loc, parse, plain, read_text

FOLDER = Path(__file__).parents[1] / "protocols"
"""Where the protocols lie that ship, each in a file of its name."""


def shipped_protocols() -> dict[str, Path]:
    """Return the protocols that ship by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def is_file(name: str) -> bool:
    """Tell whether a protocol is named by its file."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def protocol_named(name: str, folder: Path = Path()) -> Protocol:
    """Return a protocol that ships, by its name, or one of a person's own, by its file.

    Args:
        name: such as clean-fid, or ./mine.yaml.
        folder: where the path of a file begins.

    Raises:
        InputError: there is none of this name.
        SuiteError: with every error of the file.
    """
    if is_file(name):
        return read_protocol(folder / name)
    return _shipped(pick(shipped_protocols(), name, "protocol"))


@cache
def _shipped(path: Path) -> Protocol:
    return read_protocol(path, ships=True)


def read_protocol(path: Path, *, ships: bool = False) -> Protocol:
    """Return what the file of a protocol says.

    Raises:
        InputError: it cannot be read.
        SuiteError: with every error of the file: line, path, what was found, what is allowed.
    """
    text = read_text(path, noun="protocol")
    data = parse(text, lambda line: f"{path}:{line}", noun="protocol")
    data = mapping(data, path, "a protocol begins with `protocol: NAME`")
    places, wrong = Places(path, data), list[tuple[Loc, str]]()
    values = plain(data, wrong)
    wrong += _names(values, ships=ships)
    found = [places.problem(loc, text) for loc, text in wrong]
    try:
        said = ProtocolFile.model_validate(values)
    except ValidationError as error:
        raise SuiteError([*problems_of(error, places, ProtocolFile), *found]) from None
    if found:
        raise SuiteError(found)
    return said.to_protocol(ships=ships)


def _names(values: dict[str, Any], *, ships: bool) -> Iterator[tuple[Loc, str]]:
    """Yield what of a file names something that is not there, or is taken."""
    name = values.get("protocol")
    if not ships and name in shipped_protocols():
        yield ("protocol",), f"found '{name}', the name of a protocol that ships; choose another"
    yield from unknown_extractors(values)
    if not ships:
        yield from _splits(values)
    cited = values.get("cited")
    for field in cited if isinstance(cited, dict) else ():
        if field not in Recipe.model_fields:
            near = nearest(field, Recipe.model_fields)
            yield ("cited", field), f"no field of a protocol{near}; cite a field of this file"


def _splits(values: dict[str, object]) -> Iterator[tuple[Loc, str]]:
    """Yield the references that no split of a dataset is; rules that ship name others' too."""
    rules = values.get("sampling")
    nodes: list[tuple[Loc, Any]] = [((), values)]
    if isinstance(rules, list):
        nodes += [(("sampling", n), rule) for n, rule in enumerate(rules)]
    for loc, node in nodes:
        found = node.get("reference_split") if isinstance(node, dict) else None
        if found not in (None, *SPLITS):
            yield (
                (*loc, "reference_split"),
                f"found '{found}'{nearest(str(found), SPLITS)}; allowed: {', '.join(SPLITS)}",
            )


def unknown_extractors(values: dict[str, object]) -> Iterator[tuple[Loc, str]]:
    """Yield the extractors of a protocol that there are not; code of one's own is left alone."""
    several = values.get("fdr_extractors")
    places: list[tuple[Loc, Any]] = [((name,), values.get(name)) for name in ("extractor", "clip")]
    if isinstance(several, list | tuple):
        places += [(("fdr_extractors", n), one) for n, one in enumerate(several)]
    for loc, found in places:
        if not isinstance(found, str):
            continue
        of_images = loc != ("clip",)
        own = of_images and (":" in found or found in points("extractors"))
        able = [name for name, row in EXTRACTORS.items() if of_images or row.text]
        if found not in able and not own:
            yield (
                loc,
                f"unknown extractor '{found}'{nearest(found, able)}; allowed: {', '.join(able)}",
            )


def with_protocol_files(
    values: dict[str, Any], folder: Path, places: Places, found: list[str]
) -> dict[str, Any]:
    """Return the values of a suite with what the files of its protocols say in place of paths.

    Args:
        values: of the suite's file.
        folder: where paths begin.
        places: of the suite's file.
        found: where problems go, of the suite and of those files.
    """
    said = values.get("protocol")
    if isinstance(said, list):
        read: Any = [
            _with_file(one, ("protocol", n), folder, places, found) for n, one in enumerate(said)
        ]
    else:
        read = _with_file(said, ("protocol",), folder, places, found)
    return {**values, "protocol": read} if "protocol" in values else values


def _with_file(one: Any, loc: Loc, folder: Path, places: Places, found: list[str]) -> Any:
    """Return one protocol of a suite; what its file says where it names a file."""
    base = one.get("base") if isinstance(one, dict) else one
    if not isinstance(base, str) or not is_file(base):
        return one
    stand_in = next(iter(shipped_protocols()))  # with which the suite's other errors are found
    changed = isinstance(one, dict)
    try:
        protocol = read_protocol(folder / base)
        return overridden(protocol, Override.model_validate(one)) if changed else protocol
    except SuiteError as error:
        found += error.problems
    except InputError as error:
        found.append(places.problem((*loc, "base") if changed else loc, str(error)))
    except ValidationError:  # of the change: said with the suite's own errors
        pass
    return {**one, "base": stand_in} if changed else stand_in
