"""Models of the Hugging Face hub: a name becomes a folder, from the cache or downloaded; no torch.

Of a repository only what `load` reads is fetched: configs, tokenizers, and one set of weights for
each component, not every format and precision that lies there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ldmbench.errors import InputError
from ldmbench.offline import is_offline
from ldmbench.sources.models.places import (
    SUFFIXES,
    is_training_file,
    part_of,
    shards_of,
    weights_in,
)
from ldmbench.words import first_line

__all__ = ["snapshot", "wanted"]

_SMALL = ("*.json", "*.txt", "*.model", "*.yaml", "*.jinja")
_UNUSED = ("feature_extractor", "image_encoder", "safety_checker", "watermarker")
_ON = ("1", "on", "true", "yes")


def snapshot(name: str) -> Path:
    """Return the folder of a hub id (owner/name).

    A complete copy in the hub's cache is taken as it is; what is not there is downloaded, unless
    this is offline, when no connection is opened.

    Raises:
        InputError: it is not in the cache and cannot be downloaded.
    """
    from huggingface_hub import HfApi, snapshot_download

    cached = _cached(name)
    lacking = ["everything"] if cached is None else _lacking(cached)
    if cached is not None and not lacking:
        return cached
    if _offline():
        raise InputError(
            f"'{name}' is no path here, and this is offline: in the hub's cache "
            f"{', '.join(lacking[:3])} is missing; download its folder and give the path"
        )
    try:
        files = wanted(HfApi().list_repo_files(name))
        return Path(snapshot_download(name, allow_patterns=files))
    except InputError as error:
        raise InputError(f"'{name}': {error}") from error
    except Exception as error:  # the client raises many kinds, none of them ours
        said = first_line(error)[:200]
        raise InputError(f"'{name}' is no path here and the hub did not give it: {said}") from error


def wanted(files: Iterable[str]) -> list[str]:
    """Return what `load` needs of a repository's files.

    Args:
        files: their paths, with "/".

    Returns:
        All small files and one set of weights a folder; of a repository without diffusers'
        files, its configs and one checkpoint.

    Raises:
        InputError: it has several checkpoints, of which none is named model.* or last.*.
    """
    paths = sorted(PurePosixPath(f) for f in files)
    used = [p for p in paths if p.parts[0] not in _UNUSED]
    kept = [p for p in used if any(p.match(pattern) for pattern in _SMALL)]
    if not any(p.as_posix() in ("model_index.json", "config.json") for p in paths):
        return [*(p.as_posix() for p in kept), *_checkpoint(used)]
    for folder in sorted({p.parent for p in used}):
        names = [p.name for p in used if p.parent == folder]
        found = weights_in(names)
        kept += [folder / n for n in (shards_of(found, names) if found else [])]
    return sorted({p.as_posix() for p in kept})


def _checkpoint(paths: Iterable[PurePosixPath]) -> list[str]:
    """Return the checkpoint at the top of a repository: the one that `load` would take."""
    named = ("model", "last")
    found = [p for p in paths if p.suffix in SUFFIXES and len(p.parts) == 1]
    found = [p for p in found if not is_training_file(p.name)]
    found.sort(key=lambda p: (p.stem not in named, p.suffix != ".safetensors", p.name))
    if len({p.stem for p in found}) > 1 and found[0].stem not in named:
        names = ", ".join(p.name for p in found[:8])
        raise InputError(
            f"the repository holds {len(found)} checkpoints ({names}{', ...' * (len(found) > 8)}); "
            "download the one that is meant, with its config, and give its path"
        )
    return [p.as_posix() for p in found[:1]]


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True, allow_patterns=list(_SMALL)))
    except (OSError, ValueError):
        return None


def _lacking(folder: Path) -> list[str]:
    """Return which components of a cached folder have no weights."""
    if not (folder / "model_index.json").is_file():
        bare = [folder] if (folder / "config.json").is_file() else []
        found = bare or any(p.suffix in SUFFIXES for p in folder.iterdir())
        parts = bare if found else [folder / "model_index.json"]
    else:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        named = [k for k, v in index.items() if isinstance(v, list) and v and v[-1] is not None]
        parts = [folder / k for k in named if k not in _UNUSED and _is_network(folder / k)]
    return [p.name for p in parts if not _has_weights(part_of(p.parent, p.name))]


def _is_network(part: Path) -> bool:
    small = ("scheduler", "tokenizer", "low_res_scheduler", "processor")
    return not part.name.startswith(small)


def _has_weights(part: Path) -> bool:
    names = [p.name for p in part.iterdir()] if part.is_dir() else []
    found = weights_in(names)
    if found is None:
        return False
    if not found.endswith(".json"):
        return True
    index = json.loads((part / found).read_text(encoding="utf-8"))
    return all((part / str(shard)).is_file() for shard in set(index["weight_map"].values()))


def _offline() -> bool:
    return is_offline() or os.environ.get("HF_HUB_OFFLINE", "").lower() in _ON
