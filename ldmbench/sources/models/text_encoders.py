"""Frozen text encoders that a model trained here attends to: CLIP's, T5, BERT; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import InputError
from ldmbench.sources.models.config_kinds import read_checked
from ldmbench.sources.models.hub import snapshot
from ldmbench.sources.models.places import is_hub_id, weights_of

__all__ = ["AT_ONCE", "KINDS", "TextEncoder", "text_encoder"]

KINDS = {
    "bert": "BertModel",
    "clip": "CLIPTextModel",
    "clip_text_model": "CLIPTextModel",
    "t5": "T5EncoderModel",
}
"""`model_type` of a config -> the class of transformers."""
_TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))
"""Files by which transformers reads a tokenizer; those of one row are needed together."""
AT_ONCE = 32
"""Captions that an encoder reads at a time, always: so what it makes of one differs by no more than
the place among them, wherever it is encoded."""


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

    def tokens(self, asked: int) -> int:
        """Return how many tokens of a caption it reads, of as many as are asked for."""
        return min(asked, self.places or asked)

    @property
    def bytes(self) -> int:
        """Return the size of its weights."""
        return sum(file.stat().st_size for file in weights_of(self.place))

    @property
    def digest(self) -> str:
        """Return the digest of config, weights and tokenizer."""
        return digest({name: digest_file(file) for name, file in self.files.items()})

    @property
    def files(self) -> dict[str, Path]:
        """Return the files of config, weights and tokenizer by their names below one folder."""
        files = {*weights_of(self.place), self.place / "config.json"}
        for pattern in ("*.json", "*.txt", "*.model"):
            files |= set(self.tokenizer.glob(pattern))
        root = self.place if self.tokenizer == self.place else self.place.parent
        inside = all(file.is_relative_to(root) for file in files)
        root = root if inside else Path("/")
        return {file.relative_to(root).as_posix(): file for file in sorted(files)}


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
        if any(all((folder / file).is_file() for file in row) for row in _TOKENIZERS):
            return folder
    raise InputError(
        f"found '{name}', but there is no tokenizer in {place}, in its folder tokenizer or beside"
        f" it; needed: {', or '.join(' and '.join(row) for row in _TOKENIZERS)}"
    )
