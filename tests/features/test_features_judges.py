"""The judges never train the defendant: evaluators share no weights with the perceptual loss."""

from itertools import product

import torch

from ldmbench.features.checkpoint import read_tensors
from ldmbench.features.perceptual import WEIGHTS as PERCEPTUAL
from ldmbench.sources.evaluators import weights_path


def test_no_tensor_is_shared():
    judges = [read_tensors(weights_path(name)) for name in ("shapes-net", "shapes-clip")]
    files = [*judges, read_tensors(PERCEPTUAL)]
    for i, one in enumerate(files):
        for other in files[:i]:
            for (name, a), (twin, b) in product(one.items(), other.items()):
                if a.shape == b.shape and a.numel() > 1:
                    distance = (a.float() - b.float()).norm() / b.float().norm()
                    assert distance > 0.05 or not torch.isfinite(distance), (name, twin)
