"""Lines and rows that name images and tell their captions, as the tools of the field write them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError
from ldmbench.sources.images.members import LARGEST, spelled, suffix_of
from ldmbench.words import first_line

__all__ = [
    "NAMES",
    "TEXTS",
    "captions_in",
    "class_in",
    "lines_of",
    "name_in",
    "read_prompts",
    "rows_of",
    "text_of",
]

NAMES = ("file", "file_name", "filename", "image", "image_path", "path")
"""Keys whose value names an image."""
TEXTS = ("text", "caption", "captions", "prompt")
"""Keys whose value is a caption, or a list of them."""
_LIKE_NAMES = re.compile(r"(.*_)?(id|idx|index|key|name|file|filename|image|img|path|url)s?(_.*)?")
_PICTURE = re.compile(r".+\.(png|jpe?g|webp|bmp)", re.IGNORECASE | re.DOTALL)
_NAMED = re.compile(r"\S+\.(png|jpe?g|webp|bmp)(#\d+)?\s*[\t,;|]", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.0+)?")
_EXAMPLE = '{"file": NAME, "text": CAPTION}'


def text_of(data: bytes, where: str) -> str:
    """Return a text file's text.

    Raises:
        InputError: if it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text ({error.reason}); save it as UTF-8") from None


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield number and text of the lines that are not blank; a line ends at \n or \r\n alone."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def rows_of(
    data: bytes, where: str, what: str = "caption"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of a .jsonl, .csv or .parquet file, each with its place.

    Args:
        data: the file.
        where: what errors call it.
        what: what errors say that a line is not.

    Raises:
        InputError: if it is damaged, or a line is no object.
    """
    suffix = suffix_of(where)
    if suffix == ".parquet":
        yield from _parquet(data, where)
    elif suffix == ".csv":
        csv.field_size_limit(2**31 - 1)
        try:
            reader = csv.DictReader(io.StringIO(text_of(data, where), newline=""), strict=True)
            columns = list(reader.fieldnames or ())
            if len(set(columns)) < len(columns):
                raise csv.Error("a column is there twice")
            for row in reader:
                if None in row or None in row.values():
                    raise csv.Error(
                        f"not as many values as the {len(reader.fieldnames or ())} columns"
                    )
                yield f"{where}:{reader.line_num}", row
        except csv.Error as error:
            raise InputError(f"{where}:{reader.line_num}: not a row of a CSV ({error})") from None
    else:
        for number, line in lines_of(text_of(data, where)):
            yield f"{where}:{number}", _object(line, f"{where}:{number}", what)


def class_in(value: object) -> object:
    """Return the number that a class is, where it is written as a text or a float; else itself.

    Tables write whole numbers as floats where some rows have none: "3.0" is 3, NaN is None.

    >>> class_in(" 3.0"), class_in("cat "), class_in(float("nan")), class_in(0.5)
    (3, 'cat', None, 0.5)
    """
    if isinstance(value, float):
        whole = math.isfinite(value) and value.is_integer()
        return None if math.isnan(value) else int(value) if whole else value
    if not isinstance(value, str):
        return value
    text = value.strip()
    return int(text.partition(".")[0]) if _NUMBER.fullmatch(text) else text or None


def name_in(row: Mapping[str, object], where: str) -> str | None:
    """Return the name of the image that a row is of, or None if no key says one.

    Raises:
        InputError: if two keys name different images, or the name is no text.
    """
    found = {key: row[key] for key in NAMES if row.get(key) is not None}
    if not found:
        return None
    if not all(isinstance(v, str | int) and not isinstance(v, bool) for v in found.values()):
        raise InputError(f"{where}: not a prompt or caption; each line is {_EXAMPLE}")
    names = {spelled(str(value)) for value in found.values()}
    if len(names) > 1:
        raise InputError(f"{where}: {' and '.join(found)} name different images; keep one")
    return names.pop()


def captions_in(row: Mapping[str, Any], where: str) -> list[str]:
    """Return the captions of a row, none where no key tells one; white space is one space.

    Raises:
        InputError: if two keys tell captions, or one is no text.
    """
    found = [key for key in TEXTS if row.get(key) is not None]
    if len(found) > 1 and len({json.dumps(row[key]) for key in found}) > 1:
        raise InputError(f"{where}: {' and '.join(found)} could both be the caption; keep one")
    if not found:
        return []
    value = row[found[0]]
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: not a prompt or caption; each line is {_EXAMPLE}")
    return [" ".join(text.split()) for text in texts]


def read_prompts(path: Path) -> list[tuple[str | None, str]]:
    """Return (name of the image or None, caption) of each line of a file of prompts.

    Args:
        path: JSONL, CSV or parquet of named captions, or a .txt with one caption a line.

    Raises:
        InputError: if a line is malformed, has no caption or several, or names its image by a key
            that is not read.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of prompts")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path}: larger than the {LARGEST:,} bytes that are read of prompts")
    data = path.read_bytes()
    rows: list[tuple[str | None, str]] = []
    if suffix_of(path.name) == ".txt":
        lines = list(lines_of(text_of(data, str(path))))
        _refuse_named(lines, path)
        for number, line in lines:
            rows.append((None, _one([" ".join(line.split())], f"{path}:{number}")))
    else:
        for where, row in rows_of(data, str(path), "prompt"):
            name = name_in(row, where)
            other = [key for key, value in row.items() if _may_name(key, value)]
            if name is None and other:
                raise InputError(
                    f"{where}: {other[0]} may name the image, and is not read; call it file, or"
                    " leave it out if lines are in the order of the images"
                )
            rows.append((name, _one(captions_in(row, where), where)))
    if not rows:
        raise InputError(f"{path}: no prompt in it")
    return rows


def _may_name(key: str, value: object) -> bool:
    """Tell a key that is called as one that names images, or whose value is a picture's name."""
    return bool(_LIKE_NAMES.fullmatch(key.lower())) or (
        key not in TEXTS and isinstance(value, str) and bool(_PICTURE.fullmatch(value))
    )


def _refuse_named(lines: Sequence[tuple[int, str]], path: Path) -> None:
    """Refuse a .txt whose lines name their images: they would be matched by order."""
    if lines and all(_NAMED.match(line) or _is_object(line) for _, line in lines):
        raise InputError(
            f"{path}:{lines[0][0]}: not a caption alone; a .txt has one a line, in the order of"
            f" the images; captions that name their images are {_EXAMPLE} in a .jsonl"
        )


def _is_object(line: str) -> bool:
    try:
        return line.lstrip().startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _one(captions: list[str], where: str) -> str:
    if len(captions) > 1:
        raise InputError(
            f"{where}: {len(captions)} captions; give the one that the image was made for"
        )
    if not captions:
        raise InputError(f"{where}: not a prompt; each line is {_EXAMPLE}")
    if not captions[0]:
        raise InputError(f"{where}: the caption is empty")
    return captions[0]


def _object(line: str, where: str, what: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a {what}; each line is {_EXAMPLE}")
    return row


def _parquet(data: bytes, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pandas as pd

    try:
        table = pd.read_parquet(io.BytesIO(data), dtype_backend="pyarrow")
        rows = json.loads(table.to_json(orient="records"))
    except Exception as error:  # readers of foreign bytes raise nearly anything
        raise InputError(f"{where}: not a readable parquet file ({first_line(error)})") from None
    for number, row in enumerate(rows, start=1):
        yield f"{where}:{number}", row
