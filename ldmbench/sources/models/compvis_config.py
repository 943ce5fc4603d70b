"""CompVis config files: found beside a checkpoint, read as data, never as code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import InputError
from ldmbench.sources.models.config_kinds import COMPVIS, check_kinds
from ldmbench.sources.models.config_values import LARGEST_NODES, UNREAD, resolved, settled
from ldmbench.sources.models.places import is_of_checkpoint
from ldmbench.sources.models.strangers import unconfigured

__all__ = [
    "class_of",
    "config_digest",
    "find_config",
    "geometry",
    "params_of",
    "plain",
    "read_config",
    "sides_of",
    "written_config",
]

_LARGEST_BYTES = 4_000_000


def find_config(checkpoint: Path) -> Path | None:
    """Return the config beside a checkpoint: its own name, config.*, else the only YAML.

    In a log folder of CompVis' trainer (checkpoints/, configs/) it is the last *-project.yaml.
    """
    own, beside = checkpoint.with_suffix(".yaml"), checkpoint.parent
    for place in (own, beside / "config.yaml", beside / "config.yml"):
        if place.is_file():
            return place
    if (beside / "config.json").is_file() and is_of_checkpoint(beside / "config.json"):
        return beside / "config.json"
    others = sorted(beside.glob("*.yaml"))
    logged = sorted((beside.parent / "configs").glob("*-project.yaml"))
    if not others and beside.name == "checkpoints" and logged:
        return logged[-1]
    return others[0] if len(others) == 1 else None


def read_config(
    given: Path | str | Mapping[str, object] | None, checkpoint: Path
) -> dict[str, Any]:
    """Return the config of a checkpoint.

    Args:
        given: a YAML file, its content, or None to look beside the checkpoint.
        checkpoint: the weights file.

    Raises:
        InputError: there is none, it is not a mapping, or a value in it cannot be read.
    """
    written = written_config(given, checkpoint)
    where = str(given if isinstance(given, Path | str) else find_config(checkpoint) or "the config")
    read: dict[str, Any] = settled(resolved(written, where), where)
    if isinstance(read.get("model"), Mapping):
        check_kinds(read["model"], COMPVIS, f"the config of {checkpoint}", skip=UNREAD)
    return read


def written_config(
    given: Path | str | Mapping[str, object] | None, checkpoint: Path
) -> dict[str, Any]:
    """Return the config of a checkpoint as it is written: references and quoted flags as texts."""
    if isinstance(given, Mapping):
        return {str(k): v for k, v in given.items()}
    place = Path(given) if given is not None else find_config(checkpoint)
    if place is None:
        raise InputError(unconfigured(checkpoint))
    if not place.is_file():
        raise InputError(f"the config {place} is not a file")
    content = _parse(place)
    if not isinstance(content, dict):
        raise InputError(f"{place} is not a mapping of names to values")
    return content


def config_digest(given: Path | str | Mapping[str, object] | None, checkpoint: Path) -> str:
    """Return the digest of what `read_config` reads."""
    if isinstance(given, Mapping):
        return digest(plain(given))
    place = Path(given) if given is not None else find_config(checkpoint)
    return digest_file(place) if place is not None else digest(None)


def class_of(section: object, *, where: str) -> str:
    """Return the last part of a section's `target`, or a marker such as __is_unconditional__."""
    if isinstance(section, str):
        return section
    if isinstance(section, Mapping) and isinstance(section.get("target"), str):
        return str(section["target"]).rpartition(".")[2]
    raise InputError(f"{where} has no target; it should name a class of the ldm package")


def params_of(section: object) -> dict[str, Any]:
    """Return a section's `params`, empty where there are none."""
    found = section.get("params") if isinstance(section, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def geometry(params: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return a first stage's f, its latent's channels and side at the resolution of training."""
    dd = params.get("ddconfig") or {}
    f = 2 ** (len(dd.get("ch_mult", (1,))) - 1)
    channels = int(params.get("embed_dim", dd.get("z_channels", 3)))
    return f, channels, int(dd.get("resolution", 256)) // f


def sides_of(value: Any) -> tuple[int, int]:
    """Return height and width of a config's size, which may be one number for both."""
    if isinstance(value, list | tuple):
        return int(value[0]), int(value[1])
    return int(value), int(value)


def _parse(place: Path) -> object:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if place.stat().st_size > _LARGEST_BYTES:
        raise InputError(f"{place} has more than {_LARGEST_BYTES:,} bytes and is no model's config")
    try:
        content = YAML(typ="safe", pure=True).load(place.read_text(encoding="utf-8"))
        nodes = _count(content, {})
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{place} is not readable as YAML: {said}") from error
    except RecursionError as error:
        raise InputError(f"{place} is nested too deeply to be a model's config") from error
    if nodes > LARGEST_NODES:
        raise InputError(f"{place} grows to more than {LARGEST_NODES:,} values by its aliases")
    return content


def _count(value: object, known: dict[int, int]) -> int:
    """Return how many values there are when aliases are written out (each is counted once)."""
    if not isinstance(value, Mapping | list):
        return 1
    if id(value) not in known:
        known[id(value)] = LARGEST_NODES + 1  # what holds itself has no end
        inner = value.values() if isinstance(value, Mapping) else value
        known[id(value)] = 1 + sum(_count(v, known) for v in inner)
    return known[id(value)]


def plain(value: object) -> Any:
    """Return a value with nothing in it that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
