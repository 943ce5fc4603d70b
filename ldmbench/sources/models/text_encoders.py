"""Frozen text encoders that a model trained here attends to: CLIP's, T5, BERT; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ldmbench.canonical import digest_files
from ldmbench.errors import InputError
from ldmbench.sources.models.config_kinds import read_checked
from ldmbench.sources.models.hub import snapshot
from ldmbench.sources.models.places import is_hub_id, weights_of

__all__ = ["KINDS", "TextEncoder", "text_encoder"]

KINDS = {
    "bert": "BertModel",
    "clip": "CLIPTextModel",
    "clip_text_model": "CLIPTextModel",
    "t5": "T5EncoderModel",
}
"""`model_type` of a config -> the class of transformers."""
_TOKENIZER = ("tokenizer_config.json", "tokenizer.json", "vocab.json", "vocab.txt")


@dataclass(frozen=True)
class TextEncoder:
    """What the files of a text encoder say.

    Attributes:
        place: the folder of its config and weights.
        tokenizer: the folder of its tokenizer.
        kind: class of transformers.
        width: of the context that it makes.
        places: tokens that it reads at most; None where it has no limit of its own.
    """

    place: Path
    tokenizer: Path
    kind: str
    width: int
    places: int | None

    @property
    def digest(self) -> str:
        """Return the digest of config, weights and tokenizer."""
        files = {*weights_of(self.place), self.place / "config.json"}
        for pattern in ("*.json", "*.txt", "*.model"):
            files |= set(self.tokenizer.glob(pattern))
        root = self.place if self.tokenizer == self.place else self.place.parent
        inside = all(file.is_relative_to(root) for file in files)
        return digest_files(sorted(files), root=root if inside else Path("/"))


def text_encoder(name: str, folder: Path) -> TextEncoder:
    """Return a text encoder by a path, relative to a folder, or a hub id.

    Raises:
        InputError: it is not there, is of another kind, or has no weights or tokenizer.
    """
    place = (folder / name).resolve()
    if not place.exists():
        if not is_hub_id(name):
            raise InputError(
                f"found '{name}', which is not there (looked for {place}); allowed: the folder of a"
                " text encoder of transformers (CLIP's, T5, BERT), or a hub id (owner/name)"
            )
        place = snapshot(name)
    if not (place / "config.json").is_file():
        raise InputError(f"found '{name}', but {place} has no config.json")
    config = read_checked(place / "config.json")
    kind = str(config.get("model_type"))
    if kind not in KINDS:
        raise InputError(
            f"found '{name}', a '{kind}'; text encoders are of model_type {', '.join(KINDS)}"
        )
    weights_of(place)
    own = config.get("text_config") or config
    width = int(own.get("d_model") or own.get("hidden_size") or 512)
    limit = None if kind == "t5" else int(own.get("max_position_embeddings") or 77)
    return TextEncoder(place, _tokenizer(place, name), KINDS[kind], width, limit)


def _tokenizer(place: Path, name: str) -> Path:
    for folder in (place, place / "tokenizer", place.parent / "tokenizer"):
        if any((folder / file).is_file() for file in _TOKENIZER):
            return folder
    raise InputError(f"found '{name}', but there is no tokenizer in {place} or beside it")
