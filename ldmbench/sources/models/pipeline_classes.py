"""The pipelines of the installed diffusers, read from their source text; no torch, nothing runs.

A plan must know which components a pipeline needs and which arguments its call takes, and
importing a pipeline imports torch.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ldmbench.errors import InputError
from ldmbench.registry import nearest
from ldmbench.sources.models.diffusers_classes import ELSEWHERE

__all__ = ["PipelineClass", "has_class", "pipeline_class"]

_CLASS = re.compile(r"^class (\w+)[(:]", re.MULTILINE)
_NEEDS_IMAGE = (
    "Img2Img", "Inpaint", "Control", "Upscale", "Edit", "Video", "Redux", "Kontext", "Fill",
    "Depth", "Pix2Pix", "Superres", "SuperResolution",
)  # fmt: skip
"""Parts of the names of pipelines that start from an image, or make no image."""


@dataclass(frozen=True)
class PipelineClass:
    """What the source of a pipeline says.

    Attributes:
        name: of the class.
        components: arguments of its constructor.
        optional: those that a folder may lack.
        arguments: of its call, with their defaults where these are plain values, else None.
    """

    name: str
    components: tuple[str, ...]
    optional: frozenset[str]
    arguments: dict[str, object]


@lru_cache(maxsize=32)
def pipeline_class(name: str) -> PipelineClass:
    """Return what the installed diffusers says of a pipeline.

    Raises:
        InputError: it has no such class, or one that makes no images of prompts alone.
    """
    known = _pipelines()
    if name not in known:
        raise InputError(
            f"'{name}' is no pipeline of the installed diffusers {version('diffusers')}"
            f"{nearest(name, known)}; {ELSEWHERE}"
        )
    tree = ast.parse(known[name].read_text(encoding="utf-8"))
    found = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    methods = {n.name: n for n in found.body if isinstance(n, ast.FunctionDef)}
    if not {"__init__", "__call__"} <= set(methods):
        raise InputError(f"'{name}' of diffusers has no call of its own; {ELSEWHERE}")
    made, call = _arguments(methods["__init__"]), _arguments(methods["__call__"])
    makes = "images=" in ast.unparse(methods["__call__"])
    if "prompt" not in call or not makes or any(part in name for part in _NEEDS_IMAGE):
        raise InputError(
            f"'{name}' of diffusers does not make images of prompts alone, which is all that a"
            f" suite gives it; {ELSEWHERE}"
        )
    optional = frozenset(_listed(found, "_optional_components"))
    plain = {n for n, default in made.items() if default is not _REQUIRED}
    return PipelineClass(name, tuple(made), optional | plain, call)


@lru_cache(maxsize=512)
def has_class(library: str, name: str) -> bool:
    """Tell whether transformers or diffusers has a class, by their source."""
    if library == "diffusers":
        return name in _named("diffusers", "models", "schedulers", "pipelines")
    known = _named("transformers", "models", "") if library == "transformers" else ()
    return name in known or name.removesuffix("Fast") in known


_REQUIRED = object()


def _arguments(function: ast.FunctionDef) -> dict[str, object]:
    """Return arguments without self, with their defaults; None stands for what is no literal."""
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)][1:]
    filled = [
        *[_REQUIRED] * (len(names) - len(arguments.defaults)),
        *map(_literal, arguments.defaults),
    ]
    only = {
        a.arg: _literal(d) if d else _REQUIRED
        for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults)
    }
    return dict(zip(names, filled, strict=True)) | only


def _literal(node: ast.expr) -> object:
    try:
        found: object = ast.literal_eval(node)
    except ValueError:
        return None
    return found


def _listed(found: ast.ClassDef, name: str) -> list[str]:
    """Return a list of texts that a class assigns."""
    for node in found.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            value = _literal(node.value)
            return list(value) if isinstance(value, list) else []
    return []


@lru_cache(maxsize=1)
def _pipelines() -> dict[str, Path]:
    """Return the pipelines of diffusers and the files they stand in; deprecated ones too."""
    return {
        name: file
        for file in _files("diffusers", "pipelines")
        for name in _CLASS.findall(file.read_text(encoding="utf-8"))
        if name.endswith("Pipeline")
    }


@lru_cache(maxsize=4)
def _named(library: str, *folders: str) -> frozenset[str]:
    return frozenset(
        name
        for folder in folders
        for file in _files(library, folder)
        for name in _CLASS.findall(file.read_text(encoding="utf-8"))
    )


def _files(library: str, folder: str) -> list[Path]:
    spec = find_spec(library)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    place = Path(roots[0]) / folder if roots else None
    if place is None:
        return []
    return sorted(place.rglob("*.py") if folder else place.glob("*.py"))
