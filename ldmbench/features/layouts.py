"""Whether a file holds the weights of an extractor's network, by names and shapes alone.

No value of the file is read, and the network is built without values.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch

from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.features.checkpoint import check_shapes
from ldmbench.features.tokenizer import FileTokenizer
from ldmbench.tensors.entries import open_weights

__all__ = ["check_layout"]


def check_layout(name: str, path: Path) -> None:
    """Refuse a file that does not hold exactly the tensors of a name's network.

    Args:
        name: a row of WEIGHTS, of an extractor or of its tokenizer.
        path: the file.

    Raises:
        InputError: if it is damaged, or names or shapes differ.
    """
    if any(row.tokenizer == name for row in EXTRACTORS.values()):
        FileTokenizer(path)
        return
    spec = next(row for row in EXTRACTORS.values() if row.weights == name)
    module = import_module(spec.load.partition(":")[0])
    with torch.device("meta"):
        network = module.network(spec)
    slots = open_weights(path).slots
    given = {n: tuple(slot.shape) for n, slot in slots.items() if n not in module.UNUSED}
    check_shapes(network, given, path)
