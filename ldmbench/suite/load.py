"""Read a suite file and report every error with its place (the only importer of YAML)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ldmbench.canonical import digest
from ldmbench.errors import InputError, SuiteError
from ldmbench.registry import nearest
from ldmbench.schema.protocol import CHANGED, NAME, SEVERAL
from ldmbench.schema.suite import MlflowSettings, Suite
from ldmbench.schema.sweep import MANY, ONE, suite_form

Loc = tuple[str | int, ...]


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
                if isinstance(node, CommentedMap):
                    line = node.lc.key(part)[0] + 1
                elif isinstance(node, CommentedSeq):
                    line = node.lc.item(part)[0] + 1
                node = node[part]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return line


def load_suite(path: Path, sets: Sequence[str] = ()) -> LoadedSuite:
    """Read and check the form of a suite file.

    Args:
        path: the YAML file.
        sets: "dotted.path=value" changes, values read as YAML.

    Raises:
        SuiteError: with all errors of the file in one pass.
        InputError: if the file cannot be read or is no YAML.
    """
    data = _read(path)
    changes = {_apply(data, text): f"--set {text}" for text in sets}
    places = Places(path, data, changes)
    try:
        written = suite_form().model_validate(_plain(data))
    except ValidationError as error:
        raise SuiteError(_problems(error, places)) from None
    return LoadedSuite(
        written=written,
        path=path,
        text=_dump(data),
        digest=digest(written.model_dump(mode="json")),
        places=places,
    )


def _read(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"{path}: no such suite file; `ldmbench list suites` names those at hand")
    try:
        data = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise SuiteError([f"{path}:{line}: not YAML: {error.problem or error.context}"]) from None
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(data, CommentedMap):
        raise SuiteError([f"{path}:1: found no mapping; a suite begins with `suite: NAME`"])
    return data


def _apply(data: Any, change: str) -> Loc:
    """Apply one "path=value" to the data and return the place it changed."""
    path, separator, value = change.partition("=")
    if not separator or not path:
        raise InputError(f"--set {change}: write PATH=VALUE, such as sample.count=64")
    try:
        parsed = YAML(typ="rt").load(value)
    except YAMLError:
        raise InputError(f"--set {change}: the value is not YAML") from None
    node, loc, rest = data, [], path.strip()
    while True:
        key = _next_key(node, rest)
        loc.append(key)
        rest = rest[len(str(key)) + 1 :]
        if not rest:
            node[key] = parsed
            return tuple(loc)
        inner = node.get(key) if isinstance(node, dict) else node[key]
        if not isinstance(inner, dict | list):
            if inner is not None:
                raise InputError(f"--set {change}: {_dotted(tuple(loc))} is a value, no section")
            inner = CommentedMap()
            node[key] = inner
        node = inner


def _next_key(node: Any, rest: str) -> str | int:
    if isinstance(node, list):
        part = rest.split(".", maxsplit=1)[0]
        if not part.isdigit() or int(part) >= len(node):
            raise InputError(f"--set: '{part}' is no place in a list of {len(node)}")
        return int(part)
    whole = [k for k in node if isinstance(k, str) and (rest == k or rest.startswith(f"{k}."))]
    return max(whole, key=len) if whole else rest.split(".", maxsplit=1)[0]


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _dump(data: Any) -> str:
    stream = io.StringIO()
    YAML(typ="rt").dump(data, stream)
    return stream.getvalue()


def _dotted(loc: Loc) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _problems(error: ValidationError, places: Places) -> list[str]:
    found = error.errors(include_url=False)
    problems = []
    for item in found:
        loc = _in_file(item["loc"], places.data)
        if item["type"] == "too_short" and any(_below(o, item) for o in found):
            continue  # pydantic counts only the items that were right
        problems.append(places.problem(loc, _message(item, loc)))
    return list(dict.fromkeys(problems))


def _below(other: Any, item: Any) -> bool:
    loc, above = other["loc"], item["loc"]
    return len(loc) > len(above) and loc[: len(above)] == above


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
    """Return the MLflow settings of a suite's text as a run keeps it."""
    data = _plain(YAML(typ="rt").load(text)) or {}
    return MlflowSettings.model_validate(data.get("mlflow") or {})


def places_of(text: str) -> dict[str, str]:
    """Return where a suite's text says its models from elsewhere are: a path, hub id or target."""
    models = (_plain(YAML(typ="rt").load(text)) or {}).get("models") or {}
    found = {name: model.get("path") or model.get("target") for name, model in models.items()}
    return {name: str(place) for name, place in found.items() if place}


def headline(path: Path) -> str:
    """Return the question a suite file asks, or '' when it cannot be read."""
    try:
        return str(_read(path).get("question", ""))
    except InputError:
        return ""
