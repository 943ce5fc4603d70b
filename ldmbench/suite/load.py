"""Read a suite file and report every error with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ldmbench.canonical import digest
from ldmbench.errors import InputError, SuiteError
from ldmbench.registry import nearest
from ldmbench.schema.protocol import CHANGED, NAME, SEVERAL
from ldmbench.schema.suite import MlflowSettings, Suite
from ldmbench.schema.sweep import MANY, ONE, suite_form
from ldmbench.suite.axes import check_size
from ldmbench.suite.read import MOST_LEVELS, Loc, dump, parse, plain, read_text, unshare

MOST_PROBLEMS = 100
"""Errors of a file that are told; the others are counted."""


@dataclass(frozen=True)
class LoadedSuite:
    """A suite file that has the right form.

    Attributes:
        written: the checked suite; sweepable fields may hold tuples, which are axes.
        path: the file.
        text: the file's text with `--set` applied.
        digest: digest of what is written, defaults filled in.
    """

    written: Any
    path: Path
    text: str
    digest: str
    places: Places = field(repr=False)

    @property
    def name(self) -> str:
        """The suite's name."""
        return str(self.written.suite)


@dataclass(frozen=True)
class Places:
    """Where each part of a suite stands: file and line, or the `--set` that gave it."""

    path: Path
    data: Any
    sets: Mapping[Loc, str] = field(default_factory=dict)

    def problem(self, loc: Loc, message: str) -> str:
        """Return 'file:line: path: message' for the part at `loc`."""
        dotted = _dotted(loc)
        return (
            f"{self._where(loc)}: {dotted}: {message}" if loc else f"{self._where(loc)}: {message}"
        )

    def _where(self, loc: Loc) -> str:
        for length in range(len(loc), 0, -1):
            if loc[:length] in self.sets:
                return self.sets[loc[:length]]
        return f"{self.path}:{self._line(loc)}"

    def _line(self, loc: Loc) -> int:
        node, line = self.data, 1
        for part in loc:
            try:
                in_list = isinstance(node, list)
                key = part if in_list else _key_of(node, str(part))
                line = (node.lc.item(key) if in_list else node.lc.key(key))[0] + 1
                node = node[key]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return line


def load_suite(path: Path, sets: Sequence[str] = (), *, text: str | None = None) -> LoadedSuite:
    """Read and check the form of a suite file.

    Args:
        path: the YAML file; paths in it begin at its folder.
        sets: "dotted.path=value" changes, values read as YAML.
        text: the suite itself, where it lies in no file; `path` is then what errors call it.

    Raises:
        SuiteError: with all errors of the file in one pass.
        InputError: if the file cannot be read or is no YAML.
    """
    text = read_text(path) if text is None else text
    data = _mapping(parse(text, lambda line: f"{path}:{line}"), path)
    if sets:
        unshare(data)
    changes = {_apply(data, change): f"--set {change}" for change in sets}
    places = Places(path, data, changes)
    wrong: list[tuple[Loc, str]] = []
    values = plain(data, wrong)
    _refuse(wrong, places)
    try:
        written = suite_form().model_validate(values)
    except ValidationError as error:
        raise SuiteError(_problems(error, places)) from None
    read = written.model_dump(mode="json")
    plain(read, wrong)  # numbers that stood in quotes
    _refuse(wrong or list(check_size(written)), places)
    return LoadedSuite(
        written=written,
        path=path,
        text=dump(data) if sets else text,
        digest=digest(read),
        places=places,
    )


def _mapping(data: Any, path: Path) -> Any:
    if not isinstance(data, dict):
        raise SuiteError([f"{path}:1: found no mapping; a suite begins with `suite: NAME`"])
    return data


def _refuse(wrong: Sequence[tuple[Loc, str]], places: Places) -> None:
    if wrong:
        told = dict.fromkeys(places.problem(loc, text) for loc, text in wrong[:MOST_PROBLEMS])
        more = len(wrong) - MOST_PROBLEMS
        raise SuiteError([*told, f"and {more:,} more"] if more > 0 else [*told])


def _apply(data: Any, change: str) -> Loc:
    """Apply one "path=value" to the data and return the place it changed."""
    path, separator, value = change.partition("=")
    if not separator or not path.strip():
        raise InputError(f"--set {change}: write PATH=VALUE, such as sample.count=64")
    parsed = parse(value, lambda _: f"--set {change}")
    node, rest = data, path.strip()
    loc: list[str | int] = []
    while len(loc) < MOST_LEVELS:
        name = _next_name(node, rest, change)
        loc.append(name)
        rest = rest[len(str(name)) + 1 :]
        key = name if isinstance(node, list) else _key_of(node, str(name))
        if not rest:
            node[key] = parsed
            return tuple(loc)
        inner = node.get(key) if isinstance(node, dict) else node[key]
        if not isinstance(inner, dict | list):
            if inner is not None:
                raise InputError(f"--set {change}: {_dotted(tuple(loc))} is a value, no section")
            inner = type(data)()
            node[key] = inner
        node = inner
    raise InputError(f"--set {change}: a suite has at most {MOST_LEVELS} levels")


def _next_name(node: Any, rest: str, change: str) -> str | int:
    part = rest.split(".", maxsplit=1)[0]
    if isinstance(node, list):
        if not (part.isascii() and part.isdecimal()) or int(part[:9]) >= len(node):
            raise InputError(f"--set {change}: '{part}' is no place in a list of {len(node)}")
        return int(part)
    names = map(str, node)
    whole = max((k for k in names if rest == k or rest.startswith(f"{k}.")), key=len, default=part)
    if not whole or rest == f"{whole}.":
        raise InputError(f"--set {change}: a name in the path is empty")
    return whole


def _key_of(node: Any, name: str) -> Any:
    """Return the key that is written so: a name of digits is a number in YAML."""
    return name if name in node else next((key for key in node if str(key) == name), name)


def _dotted(loc: Loc) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _problems(error: ValidationError, places: Places) -> list[str]:
    found = error.errors(include_url=False)
    # pydantic counts only the items that were right
    short = {item["loc"] for item in found if item["type"] == "too_short"}
    above = {item["loc"][:n] for item in found for n in range(len(item["loc"]))} if short else set()
    meant = [i for i in found if i["type"] != "too_short" or i["loc"] not in above]
    told = [(_in_file(item["loc"], places.data), item) for item in meant[:MOST_PROBLEMS]]
    problems = dict.fromkeys(places.problem(loc, _message(item, loc)) for loc, item in told)
    more = len(meant) - MOST_PROBLEMS
    return [*problems, f"and {more:,} more"] if more > 0 else [*problems]


def _in_file(loc: Iterable[str | int], data: Any) -> Loc:
    """Drop from a pydantic location the names of union branches, which no file contains."""
    parts, node, noun = [], data, Suite
    named = {ONE, MANY, NAME, CHANGED, SEVERAL}
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


def _nouns(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for info in annotation.model_fields.values():
            yield from _nouns(info.annotation)
    elif get_origin(annotation) is not None:
        for part in get_args(annotation):
            yield from _nouns(part)


def _message(item: Any, loc: Loc) -> str:
    found, context = item.get("input"), item.get("ctx") or {}
    match item["type"]:
        case "extra_forbidden":
            allowed = _fields_beside(loc)
            return f"unknown key{nearest(str(loc[-1]), allowed)}; allowed: {', '.join(allowed)}"
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


def _fields_beside(loc: Loc) -> list[str]:
    """Return the keys allowed where `loc` stands: those of every noun its parents can be."""
    here: list[Any] = [Suite]
    for part in loc[:-1]:
        below: list[Any] = []
        for noun in here:
            for option in _options(noun):
                if isinstance(option, type) and issubclass(option, BaseModel):
                    info = option.model_fields.get(str(part))
                    below += [info.annotation] if info else []
                elif get_origin(option) is dict:
                    below.append(get_args(option)[1])
                elif get_origin(option) is tuple and isinstance(part, int):
                    below.append(get_args(option)[0])
        here = below
    names: dict[str, None] = {}
    for noun in here:
        for option in _options(noun):
            names |= dict.fromkeys(getattr(option, "model_fields", {}))
    return list(names)


def _options(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (dict, tuple, list) or isinstance(annotation, type):
        return [annotation]
    return [o for part in get_args(annotation) for o in _options(part)] or [annotation]


def _shown(found: object) -> str:
    text = repr(found) if isinstance(found, str) else str(found)
    return text if len(text) <= 60 else text[:57] + "..."


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def settings_of(text: str) -> MlflowSettings:
    """Return the MLflow settings of a suite's text as a run keeps it; off where it is damaged."""
    try:
        return MlflowSettings.model_validate(_kept(text).get("mlflow") or {})
    except (InputError, ValidationError):
        return MlflowSettings(enabled=False)


def places_of(text: str) -> dict[str, str]:
    """Return where a suite's text says its models from elsewhere are: a path, hub id or target."""
    try:
        models = dict(_kept(text).get("models") or {})
        found = {name: model.get("path") or model.get("target") for name, model in models.items()}
    except (InputError, ValueError, TypeError, AttributeError):  # damaged in the store
        return {}
    return {name: str(place) for name, place in found.items() if place}


def headline(path: Path) -> str:
    """Return the question a suite file asks, or '' when it cannot be read."""
    try:
        return str(_kept(read_text(path)).get("question", ""))
    except InputError:
        return ""


def _kept(text: str) -> dict[str, Any]:
    found = plain(parse(text, lambda line: f"line {line}"), [])
    return found if isinstance(found, dict) else {}
