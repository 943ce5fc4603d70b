"""The coding stage: where it begins, and that schedules without signal at their end are coded."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ldmbench.sample import Schedule
from ldmbench.schema.params import CodingParams
from ldmbench.stages import coding

T = 40


class Noise:
    """Eight images of noise."""

    pixels = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)

    def __len__(self):
        return len(self.pixels)

    def images(self, rows):
        return self.pixels[rows]

    def captions(self, rows):
        return [""] * len(rows)

    def labels(self, rows):
        return np.zeros(len(rows), np.int64)


class Shrinking:
    """A model of pixels that knows its data to be N(0, 0.5^2)."""

    needs_truth, shape = False, (3, 4, 4)

    def __init__(self, schedule):
        self.schedule = schedule

    def condition(self, **told):
        return None

    def encode(self, x):
        return x

    def decode(self, z):
        return z

    def eps(self, z, t, condition):
        bar = torch.tensor(self.schedule.alphas_cumprod()[t], dtype=z.dtype)[:, None, None, None]
        return z * (1 - bar).sqrt() / (0.25 * bar + 1 - bar)


@pytest.mark.parametrize(("rescaled", "first"), [(False, T - 1), (True, T - 2)])
def test_coding_begins_at_the_last_timestep_with_signal(rescaled, first, tmp_path, monkeypatch):
    options = (("rescale_betas_zero_snr", rescaled),)
    model = Shrinking(Schedule(start=0.01, end=0.5, T=T, options=options))
    monkeypatch.setattr(coding, "model_of", lambda task, progress: model)
    monkeypatch.setattr(coding, "images_of", lambda task: Noise())
    task = SimpleNamespace(
        params=CodingParams(progress=1.0), device="cpu", inputs={}, output=tmp_path
    )
    coding.run(task, lambda share, note: None)
    points = json.loads((tmp_path / "coding.json").read_text())
    assert [points[0]["t"], points[-1]["t"]] == [0, first]
    bits = np.array([p["bits_per_dim"] for p in points])
    assert np.isfinite(bits).all()
    assert (np.diff(bits) <= 0).all()
    assert 0 <= bits[-1] < 0.01 < bits[0]
    assert all(np.isfinite(p["rmse"]) for p in points)
