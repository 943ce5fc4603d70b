import torch
from torch import nn

from ldmbench.models.ema import Ema


def test_average_follows_the_formula():
    module = nn.Linear(2, 1, bias=False)
    nn.init.constant_(module.weight, 0.0)
    ema = Ema(module, 0.3)
    expected = 0.0
    for n in range(20):
        nn.init.constant_(module.weight, float(n))
        ema.update(module, n)
        keep = min(0.3, (1 + n) / (10 + n))
        expected = keep * expected + (1 - keep) * n
    assert torch.allclose(ema.weights["weight"], torch.full((1, 2), expected))


def test_load_copies_into_place():
    module = nn.Linear(2, 1)
    ema = Ema(module, 0.9)
    held = ema.weights["weight"]
    ema.load({name: torch.ones_like(p) for name, p in module.named_parameters()})
    assert held.eq(1).all()
    assert not module.weight.eq(1).any()
