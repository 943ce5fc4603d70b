"""The first stages that come with the package, checked by digest before they are used."""

from __future__ import annotations

from pathlib import Path

import torch

from ldmbench.canonical import digest, digest_file
from ldmbench.errors import InputError
from ldmbench.models.autoencoder import load_first_stage
from ldmbench.models.model import Model
from ldmbench.schema.weights import FIRST_STAGES_FOLDER, first_stages_in

__all__ = ["load_shipped"]


def load_shipped(
    name: str, *, device: str | torch.device = "cpu", root: Path = FIRST_STAGES_FOLDER
) -> Model:
    """Load a shipped first stage; its files hold float16, its weights are float32.

    Args:
        name: a row of ldmbench.schema.weights.first_stages_in(root).
        device: where its weights go.
        root: the folder of index.json.

    Raises:
        InputError: if there is no such first stage, or a file is missing or not the shipped one.
    """
    rows = {row.name: row for row in first_stages_in(root)}
    if name not in rows:
        raise InputError(
            f"no first stage '{name}' is shipped; there are: {', '.join(sorted(rows)) or 'none'}"
        )
    folder, row = root / name, rows[name]
    for file, expected in row.files.items():
        path = folder / file
        if not path.is_file() or digest_file(path) != expected:
            raise InputError(
                f"{path} is not the file that is shipped; reinstall ldmbench, or run "
                f"scripts/make_first_stages.py --f {row.f}"
            )
    if digest(dict(row.files)) != row.digest:
        raise InputError(f"{root / 'index.json'} is damaged at '{name}'; reinstall ldmbench")
    return load_first_stage(folder, device=device)
