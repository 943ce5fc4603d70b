"""Loads a checkpoint and prints how much memory that took at its peak, in bytes.

python load_memory.py CHECKPOINT SMALL: SMALL is loaded first, so that imports are not counted.
"""

import sys
from pathlib import Path

import torch

from ldmbench.models import load


def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main(checkpoint, small):
    torch.set_num_threads(1)
    probe(load(small))
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    model = load(checkpoint)
    loaded = status("VmHWM") - before
    probe(model)
    print(loaded, status("VmHWM") - before)


def probe(model):
    z = torch.zeros(1, *model.info.latent_shape)
    model.eps(z, torch.tensor([5]))


if __name__ == "__main__":
    main(*sys.argv[1:])
