"""Errors of a YAML file: each with its line, what was found, what is allowed, the nearest name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ldmbench.errors import SuiteError
from ldmbench.registry import nearest
from ldmbench.schema.base import Noun
from ldmbench.schema.protocol import CHANGED, FILE, NAME, SEVERAL, Protocol
from ldmbench.schema.sweep import MANY, ONE
from ldmbench.suite.read import Loc

MOST_PROBLEMS = 100
"""Most errors of a file that a message lists; further ones are only counted."""


@dataclass(frozen=True)
class Places:
    """Where each part of a suite stands: file and line, or the `--set` that gave it."""

    path: Path
    data: Any
    sets: Mapping[Loc, str] = field(default_factory=dict)

    def problem(self, loc: Loc, message: str) -> str:
        """Return 'file:line: path: message' for the part at `loc`."""
        place = f"{dotted(loc)}: " if loc else ""
        return f"{self._where(loc)}: {place}{message}"

    def _where(self, loc: Loc) -> str:
        for length in range(len(loc), 0, -1):
            if loc[:length] in self.sets:
                return self.sets[loc[:length]]
        return f"{self.path}:{self.line(loc)}"

    def line(self, loc: Loc) -> int:
        """Return the line of the part at `loc`, or of the nearest part around it."""
        node, line = self.data, 1
        for part in loc:
            try:
                in_list = isinstance(node, list)
                key = part if in_list else key_of(node, str(part))
                line = (node.lc.item(key) if in_list else node.lc.key(key))[0] + 1
                node = node[key]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return line


def mapping(data: object, path: Path, begins: str) -> object:
    """Return the mapping that a file must hold, or refuse it."""
    if not isinstance(data, dict):
        raise SuiteError([f"{path}:1: found no mapping; {begins}"])
    return data


def refuse(wrong: Sequence[tuple[Loc, str]], places: Places) -> None:
    """Raise SuiteError of (place, problem) pairs, if there are any."""
    if wrong:
        located = dict.fromkeys(places.problem(loc, text) for loc, text in wrong[:MOST_PROBLEMS])
        more = len(wrong) - MOST_PROBLEMS
        raise SuiteError([*located, f"and {more:,} more"] if more > 0 else [*located])


def key_of(node: Any, name: str) -> Any:
    """Return the key that is written so: a name of digits is a number in YAML."""
    return name if name in node else next((key for key in node if str(key) == name), name)


def dotted(loc: Loc) -> str:
    """Return a place as people write it: models.ldm.f[1]."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def problems_of(error: ValidationError, places: Places, noun: type[BaseModel]) -> list[str]:
    """Return every error of a file with its place, what was found and what is allowed."""
    found = error.errors(include_url=False)
    # pydantic counts only the items that were right
    short = {item["loc"] for item in found if item["type"] == "too_short"}
    above = {item["loc"][:n] for item in found for n in range(len(item["loc"]))} if short else set()
    meant = [i for i in found if i["type"] != "too_short" or i["loc"] not in above]
    located = [(_in_file(item["loc"], places.data, noun), item) for item in meant[:MOST_PROBLEMS]]
    problems = dict.fromkeys(
        places.problem(loc, _message(item, loc, noun)) for loc, item in located
    )
    more = len(meant) - MOST_PROBLEMS
    return [*problems, f"and {more:,} more"] if more > 0 else [*problems]


def _in_file(loc: Iterable[str | int], data: Any, noun: type[BaseModel]) -> Loc:
    """Drop from a pydantic location the names of union branches, which no file contains."""
    parts, node = [], data
    named = {ONE, MANY, NAME, CHANGED, SEVERAL, FILE}
    branches = {*named, *_kinds(noun)}
    for part in loc:
        inside = isinstance(node, dict) and part in node
        if part in branches and not inside and not isinstance(part, int):
            continue
        if part in branches and inside and part in named:
            continue
        parts.append(part)
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            node = None
    return tuple(parts)


@cache
def _kinds(noun: type[BaseModel]) -> set[str]:
    """Return every `kind` that a noun or a noun below it may have."""
    kinds: set[str] = set()
    for below in _nouns(noun):
        kind = below.model_fields.get("kind")
        kinds |= set(get_args(kind.annotation)) if kind else set()
    return kinds


def _nouns(annotation: object) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for info in annotation.model_fields.values():
            yield from _nouns(info.annotation)
    elif get_origin(annotation) is not None:
        for part in get_args(annotation):
            yield from _nouns(part)


def _message(item: ErrorDetails, loc: Loc, noun: type[BaseModel]) -> str:
    found, context = item.get("input"), item.get("ctx") or {}
    match item["type"]:
        case "extra_forbidden":
            nouns, name = _of_kind(_nouns_at(loc[:-1], noun), item["loc"]), str(loc[-1])
            for former in (n.former for n in nouns if issubclass(n, Noun)):
                if name in former:
                    return f"is called '{former[name]}' now; write that name"
            allowed = list(dict.fromkeys(field for n in nouns for field in _fields(n)))
            return f"unknown key{nearest(name, allowed)}; allowed: {', '.join(allowed)}"
        case "missing":
            return "required, found nothing"
        case "union_tag_invalid":
            kind, kinds = context.get("tag", ""), str(context.get("expected_tags", ""))
            names = kinds.replace("'", "").split(", ")
            return f"unknown kind '{kind}'{nearest(str(kind), names)}; allowed: {', '.join(names)}"
        case "literal_error":
            allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
            hint = nearest(str(found), allowed)
            return f"found {_shown(found)}{hint}; allowed: {', '.join(allowed)}"
        case "value_error":
            return str(context["error"])
    return f"found {_shown(found)}; {_lower(item['msg'])}"


def _nouns_at(loc: Loc, noun: type[BaseModel]) -> list[type[BaseModel]]:
    """Return every noun that may stand at `loc`."""
    here: list[Any] = [noun]
    for part in loc:
        below: list[object] = []
        for above in here:
            for option in _options(above):
                if isinstance(option, type) and issubclass(option, BaseModel):
                    info = option.model_fields.get(str(part))
                    below += [info.annotation] if info else []
                elif get_origin(option) is dict:
                    below.append(get_args(option)[1])
                elif get_origin(option) is tuple and isinstance(part, int):
                    below.append(get_args(option)[0])
        here = below
    options = [option for above in here for option in _options(above)]
    return [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]


def _of_kind(nouns: list[type[BaseModel]], loc: Loc) -> list[type[BaseModel]]:
    """Return those of the `kind` that is written, which pydantic names before the key; else all."""
    kind = loc[-2] if len(loc) > 1 else ""
    fields = {n: n.model_fields["kind"] for n in nouns if "kind" in n.model_fields}
    return [n for n, field in fields.items() if kind in get_args(field.annotation)] or nouns


def _fields(noun: type[BaseModel]) -> Iterable[str]:
    """Return the keys of a noun; those of a protocol of a file are written in that file."""
    return () if noun is Protocol else noun.model_fields


def _options(annotation: object) -> list[object]:
    if get_origin(annotation) in (dict, tuple, list) or isinstance(annotation, type):
        return [annotation]
    return [o for part in get_args(annotation) for o in _options(part)] or [annotation]


def _shown(found: object) -> str:
    text = repr(found) if isinstance(found, str) else str(found)
    return text if len(text) <= 60 else text[:57] + "..."


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
