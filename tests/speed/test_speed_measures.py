import time

import numpy as np
import pytest
import torch

from ldmbench.speed.energy import measure_energy
from ldmbench.speed.flops import count_flops, sampling_flops
from ldmbench.speed.memory import peak_memory
from ldmbench.speed.throughput import latency, throughput
from ldmbench.speed.timer import Timing, time_calls
from ldmbench.speed.yardstick import VERSION, yardstick


def test_timer_counts_calls_and_measures_them():
    calls = []

    def work():
        calls.append(1)
        time.sleep(0.02)

    timing = time_calls(work, repeats=4, warmup=2)
    assert len(calls) == 6
    assert len(timing.seconds) == 4
    assert 0.02 <= timing.median < 0.2
    low, high = timing.interval()
    assert min(timing.seconds) <= low <= timing.median <= high <= max(timing.seconds)


def test_timing_statistics():
    timing = Timing((1.0, 2.0, 3.0, 4.0, 100.0))
    assert timing.median == 3
    assert timing.spread == 1
    assert timing.p95 == pytest.approx(np.percentile([1, 2, 3, 4, 100], 95))


def test_throughput_is_images_over_median_time():
    def make(n):
        time.sleep(0.005 * n)

    fast = throughput(make, batch=4, repeats=3)
    assert fast.batch == 4
    assert fast.images_per_second == pytest.approx(4 / fast.timing.median)
    assert fast.low <= fast.images_per_second <= fast.high <= 201
    assert 0.005 <= latency(make, repeats=3).median < 0.1


def test_memory_sees_what_a_call_holds():
    def hold():
        block = np.ones(64 * 2**20, dtype=np.uint8)
        time.sleep(0.02)
        return int(block[-1])

    peak = peak_memory(hold)
    assert peak.method == "rss_growth"
    assert 55 * 2**20 < peak.bytes < 150 * 2**20
    assert peak_memory(lambda: None).bytes < 10 * 2**20


def test_flops_are_two_per_multiply_add():
    a, b = torch.empty(4, 5, device="meta"), torch.empty(5, 6, device="meta")
    assert count_flops(lambda: a @ b) == 2 * 4 * 5 * 6
    assert sampling_flops(evaluations=10, denoiser=7, condition=2, decoder=3) == 75
    assert sampling_flops(evaluations=10, denoiser=7, condition=2, decoder=3, guided=True) == 147


def test_energy_says_why_it_is_missing():
    energy = measure_energy(lambda: time.sleep(0.01))
    assert energy.joules is None
    assert "cpu" in energy.reason
    assert energy.seconds >= 0.01


@pytest.mark.gpu
def test_energy_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    x = torch.randn(4096, 4096, device="cuda")

    def work():
        for _ in range(400):
            x @ x

    energy = measure_energy(work, device="cuda")
    assert energy.joules is None or energy.joules > 1
    assert peak_memory(lambda: x @ x, device="cuda").bytes >= 2 * x.numel() * 4


def test_yardstick_adds_up_and_leaves_randomness_alone():
    before = torch.get_rng_state()
    found = yardstick(repeats=3)
    assert torch.equal(before, torch.get_rng_state())
    assert found.version == VERSION
    assert min(found.convolution, found.attention, found.copy) > 0
    assert found.seconds <= 3 * (found.convolution + found.attention + found.copy)
