"""Read a suite file and report every error with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ldmbench.canonical import digest
from ldmbench.errors import InputError, SuiteError
from ldmbench.schema.suite import MlflowSettings, Suite
from ldmbench.schema.sweep import suite_form
from ldmbench.suite.alone import with_first_stages_alone
from ldmbench.suite.axes import check_size
from ldmbench.suite.first_stages import with_first_stages_of
from ldmbench.suite.problems import Places, dotted, key_of, mapping, problems_of, refuse
from ldmbench.suite.protocol_files import with_protocol_files
from ldmbench.suite.read import MOST_LEVELS, Loc, dump, parse, plain, read_text, unshare
from ldmbench.suite.starts import with_sources


@dataclass(frozen=True)
class LoadedSuite:
    """A suite file that has the right form.

    Attributes:
        written: the checked suite; sweepable fields may hold tuples, which are axes.
        path: the file.
        text: the file's text with `--set` applied.
        digest: digest of what is written, defaults filled in.
    """

    written: Suite
    path: Path
    text: str
    digest: str
    places: Places = field(repr=False)

    @property
    def name(self) -> str:
        """The suite's name."""
        return self.written.suite


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
    data = mapping(
        parse(text, lambda line: f"{path}:{line}"), path, "a suite begins with `suite: NAME`"
    )
    if sets:
        unshare(data)
    changes = {_apply(data, change): f"--set {change}" for change in sets}
    places = Places(path, data, changes)
    wrong: list[tuple[Loc, str]] = []
    values = with_first_stages_alone(plain(data, wrong), wrong)
    refuse(wrong, places)
    found: list[str] = []
    values = with_protocol_files(with_sources(values), path.parent, places, found)
    try:
        written = suite_form().model_validate(values)
    except ValidationError as error:
        raise SuiteError([*problems_of(error, places, Suite), *found]) from None
    if found:
        raise SuiteError(found)
    read = written.model_dump(mode="json")
    plain(read, wrong)  # numbers that stood in quotes
    written, unlent = with_first_stages_of(written)
    refuse(wrong or unlent or list(check_size(written)), places)
    return LoadedSuite(
        written=written,
        path=path,
        text=dump(data) if sets else text,
        digest=digest(read),
        places=places,
    )


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
        key = name if isinstance(node, list) else key_of(node, str(name))
        if not rest:
            node[key] = parsed
            return tuple(loc)
        inner = node.get(key) if isinstance(node, dict) else node[key]
        if not isinstance(inner, dict | list):
            if inner is not None:
                raise InputError(f"--set {change}: {dotted(tuple(loc))} is a value, no section")
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
