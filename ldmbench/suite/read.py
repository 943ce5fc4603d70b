"""YAML of a suite, a protocol or `--set`, read within stated limits (the only importer of it)."""

from __future__ import annotations

import copy
import io
import re
import stat
import unicodedata
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
    ScalarEvent,
)
from ruamel.yaml.reader import ReaderError

from ldmbench.errors import InputError, SuiteError
from ldmbench.suite.shipped import meant

MOST_BYTES = 256 * 1024
MOST_LEVELS = 40
MOST_VALUES = 20_000
"""Values of a file, those that its aliases repeat counted each time."""
MOST_DIGITS = 18
"""Of an integer: every whole number up to here is one to each program that reads a record."""
LARGEST, SMALLEST = 1e30, 1e-30

Loc = tuple[str | int, ...]
_LONG_NUMBER = re.compile(r"[-+]?[0-9a-fA-FxXoO_]{65,}")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_BESIDE = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, AssertionError)
"""What the parser lets through beside its own errors, of text that is no YAML."""


class _Marked(RoundTripConstructor):
    """Tells the line of a value that has the form of a number or a date and is none."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except YAMLError:
            raise
        except _BESIDE as error:
            why = " ".join(str(error).split())
            raise ConstructorError(None, None, why, node.start_mark) from None


def read_text(path: Path, *, noun: str = "suite") -> str:
    """Return the text of the file of a suite or a protocol.

    Raises:
        InputError: there is none, it is no file, too large, or not UTF-8.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind != stat.S_IFREG:
            found = _KINDS.get(kind, "no file")
            raise InputError(f"{path}: found {found}; a {noun} is a file of YAML")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        near = meant(path) if noun == "suite" else ""
        raise InputError(
            f"{path}: no such {noun} file{near}; `ldmbench list {noun}s` names those that ship"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise InputError(
            f"{path}: a {noun} has at most {MOST_BYTES // 1024} kB; this file has more"
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}:1: found UTF-16 text; save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{line}: found the byte 0x{data[error.start]:02x}, which is not UTF-8; save the"
            " file as UTF-8 text"
        ) from None


def parse(text: str, where: Callable[[int], str], *, noun: str = "suite") -> Any:
    """Return what YAML holds: mappings and lists that know their lines, and plain values.

    Args:
        text: one document.
        where: names a line of it, for messages.
        noun: what the file is, for messages.

    Raises:
        SuiteError: it is no YAML, or goes beyond a limit.
    """
    try:
        _measure(text, where, noun)
        reader = YAML(typ="rt")
        reader.Constructor = _Marked
        return reader.load(text)
    except SuiteError:  # it has its place already; it is a ValueError, too
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        why = " ".join(str(error.problem or error.context).split())
        raise SuiteError([f"{where(line)}: not YAML: {why}"]) from None
    except ReaderError as error:
        line, found = text.count("\n", 0, error.position) + 1, text[error.position]
        raise SuiteError(
            [f"{where(line)}: not YAML: found U+{ord(found):04X}, a character that YAML forbids"]
        ) from None
    except (YAMLError, *_BESIDE) as error:
        raise SuiteError([f"{where(1)}: not YAML: {' '.join(str(error).split())}"]) from None


def dump(data: object) -> str:
    """Return the YAML of what `parse` returned."""
    stream = io.StringIO()
    YAML(typ="rt").dump(data, stream)
    return stream.getvalue()


def unshare(node: Any, seen: set[int] | None = None) -> None:
    """Give each place of a file its own value where an alias repeats another's, in place."""
    seen = set() if seen is None else seen
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            if id(value) in seen:
                node[key] = copy.deepcopy(value)
            seen.add(id(node[key]))
            unshare(node[key], seen)


def _measure(text: str, where: Callable[[int], str], noun: str) -> None:
    """Refuse, from the stream of events alone, what would have no end or no bottom.

    Raises:
        SuiteError: naming the line and the limit.
    """
    sizes: dict[str, int | None] = {}
    above: list[tuple[str | None, int]] = []
    values = 0
    for event in YAML(typ="rt").parse(text):
        line = where(event.start_mark.line + 1)
        if isinstance(event, DocumentStartEvent) and event.version not in (None, (1, 2)):
            raise SuiteError([f"{line}: found YAML 1.1, where `no` is false and 010 is 8; use 1.2"])
        if isinstance(event, CollectionEndEvent):
            anchor, before = above.pop()
            if anchor:
                sizes[anchor] = values - before
        elif isinstance(event, AliasEvent):
            values += _alias(event, sizes, line)
        elif isinstance(event, NodeEvent):
            _check_node(event, line)
            values += 1
            if isinstance(event, CollectionStartEvent):
                above.append((event.anchor, values - 1))
            if event.anchor:
                sizes[event.anchor] = None if isinstance(event, CollectionStartEvent) else 1
        if len(above) > MOST_LEVELS:
            raise SuiteError([f"{line}: a {noun} has at most {MOST_LEVELS} levels, found more"])
        if values > MOST_VALUES:
            most = f"{MOST_VALUES:,} values, with those that aliases repeat"
            raise SuiteError([f"{line}: a {noun} has at most {most}; found more"])


def _alias(event: AliasEvent, sizes: dict[str, int | None], line: str) -> int:
    """Return how many values an alias repeats; one that is not known is the parser's to refuse."""
    if event.anchor in sizes and sizes[event.anchor] is None:
        raise SuiteError([f"{line}: *{event.anchor} refers to a value that contains it"])
    return sizes.get(event.anchor) or 1


def _check_node(event: Any, line: str) -> None:
    if event.tag is not None:
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        raise SuiteError([f"{line}: found the tag {tag}; write the value without a tag"])
    if isinstance(event, ScalarEvent) and event.implicit[0] and _LONG_NUMBER.fullmatch(event.value):
        raise SuiteError(
            [f"{line}: found {len(event.value):,} digits; integers have at most {MOST_DIGITS}"]
        )


def plain(node: object, found: list[tuple[Loc, str]], loc: Loc = ()) -> Any:
    """Return dicts, lists and plain values, and gather (place, problem) of what is none.

    Args:
        node: of `parse`.
        found: where problems go.
        loc: where the node stands.
    """
    if isinstance(node, dict):
        held: dict[str, JsonValue] = {}
        for key, value in node.items():
            name = _key(key, held, found, loc)
            held[name] = plain(value, found, (*loc, name))
        return held
    if isinstance(node, list):
        return [plain(value, found, (*loc, place)) for place, value in enumerate(node)]
    for kind, problems in _VALUES.items():
        if isinstance(node, kind):
            value = kind(node)
            found += [(loc, problem) for problem in problems(value)]
            return value
    if node is not None:
        found.append((loc, f"found {node}, which YAML reads as a {_noun(node)}; put it in quotes"))
    return None


def _key(key: object, held: Collection[str], found: list[tuple[Loc, str]], loc: Loc) -> str:
    name = str(key)
    if not isinstance(key, str | int) or isinstance(key, bool):
        found.append(((*loc, name), f"found {name} as a key; keys are text, put it in quotes"))
    elif name in held:
        found.append(((*loc, name), "found twice, as a number and as text; name it once"))
    found += [((*loc, name), problem) for problem in _text(name)]
    return name


def _noun(node: object) -> str:
    return "date" if hasattr(node, "year") else "sign of its own"


def _integer(value: int) -> Iterator[str]:
    if abs(value) >= 10**MOST_DIGITS:
        digits = len(str(abs(value)))
        yield f"found {digits} digits; integers have at most {MOST_DIGITS}, else write 1.0e{digits}"


def _float(value: float) -> Iterator[str]:
    size = abs(value)
    if size and not SMALLEST <= size <= LARGEST:
        yield f"found {value:g}; numbers are finite, and 0 or from {SMALLEST:g} to {LARGEST:g}"


def _text(value: str) -> Iterator[str]:
    wrong = next((c for c in value if c == "\0" or unicodedata.category(c) == "Cs"), None)
    if wrong is not None:
        yield f"found U+{ord(wrong):04X}, a character that no text may contain"


_VALUES: dict[type, Callable[[Any], Iterator[str]]] = {
    bool: lambda _: iter(()),
    int: _integer,
    float: _float,
    str: _text,
}
