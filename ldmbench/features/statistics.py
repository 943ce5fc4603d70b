"""Statistics that torch-fidelity keeps in its cache: a torch.save of mu and sigma."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy._core import multiarray

from ldmbench.errors import InputError
from ldmbench.words import first_line

__all__ = ["read_fidelity"]

_SAFE: list[Any] = [
    multiarray._reconstruct,
    (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    np.dtypes.Float16DType,  # to be refused by name
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
]


def read_fidelity(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a file `NAME-inception-v3-compat-stat-fid-2048.pt`; nothing is executed.

    Args:
        path: the file.

    Returns:
        "mu" and "sigma", as they are in it.

    Raises:
        InputError: if it is damaged, or holds anything else.
    """
    try:
        with torch.serialization.safe_globals(_SAFE):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file breaks nearly anywhere in it
        reason = first_line(error)
        raise InputError(
            f"{path}: not readable as torch-fidelity's statistics ({reason})"
        ) from None
    if not isinstance(found, dict) or not {"mu", "sigma"} <= set(found):
        held = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise InputError(f"{path}: holds {held or 'nothing'}; expected mu and sigma")
    arrays = {name: found[name] for name in ("mu", "sigma")}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{path}: {name} is a {type(array).__name__}, expected a numpy array")
    return arrays
