"""CompVis config files: found beside a checkpoint, read as data, never as code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import InputError

__all__ = [
    "class_of",
    "config_digest",
    "find_config",
    "geometry",
    "is_adm",
    "params_of",
    "read_config",
    "sides_of",
]


def find_config(checkpoint: Path) -> Path | None:
    """Return the config beside a checkpoint: its own name, config.yaml, else the only YAML."""
    own = checkpoint.with_suffix(".yaml")
    for place in (own, checkpoint.parent / "config.yaml", checkpoint.parent / "config.yml"):
        if place.is_file():
            return place
    others = sorted(checkpoint.parent.glob("*.yaml"))
    return others[0] if len(others) == 1 else None


def read_config(given: Path | str | Mapping[str, Any] | None, checkpoint: Path) -> dict[str, Any]:
    """Return the config of a checkpoint.

    Args:
        given: a YAML file, its content, or None to look beside the checkpoint.
        checkpoint: the weights file.

    Raises:
        InputError: there is none, or it is not a mapping.
    """
    if isinstance(given, Mapping):
        return {str(k): v for k, v in given.items()}
    place = Path(given) if given is not None else find_config(checkpoint)
    if place is None:
        raise InputError(
            f"{checkpoint} has no config beside it; put its config.yaml into {checkpoint.parent} "
            "or give load(..., config=FILE)"
        )
    if not place.is_file():
        raise InputError(f"the config {place} is not a file")
    content = _parse(place)
    if not isinstance(content, dict):
        raise InputError(f"{place} is not a mapping of names to values")
    return content


def config_digest(given: Path | str | Mapping[str, Any] | None, checkpoint: Path) -> str:
    """Return the digest of what `read_config` reads."""
    if isinstance(given, Mapping):
        return digest(_plain(given))
    place = Path(given) if given is not None else find_config(checkpoint)
    return digest_file(place) if place is not None else digest(None)


def class_of(section: Any, *, where: str) -> str:
    """Return the last part of a section's `target`, or a marker such as __is_unconditional__."""
    if isinstance(section, str):
        return section
    if isinstance(section, Mapping) and isinstance(section.get("target"), str):
        return str(section["target"]).rpartition(".")[2]
    raise InputError(f"{where} has no target; it should name a class of the ldm package")


def params_of(section: Any) -> dict[str, Any]:
    """Return a section's `params`, empty where there are none."""
    found = section.get("params") if isinstance(section, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def is_adm(config: Mapping[str, Any]) -> bool:
    """Say whether a config holds guided-diffusion's flags."""
    return "model" not in config and {"image_size", "num_channels"} <= set(config)


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


def _parse(place: Path) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(place.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{place} is not readable as YAML: {said}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
