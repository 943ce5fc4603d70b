import gc
import time

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ldmbench.models.flops import count_flops
from ldmbench.speed.energy import measure_energy
from ldmbench.speed.flops import sampling_flops
from ldmbench.speed.memory import peak_memory
from ldmbench.speed.paired import Paired, interleave
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


def test_every_call_stands_between_two_yardsticks():
    order = []
    found = interleave(
        {"many": lambda: order.append("m"), "one": lambda: order.append("o")},
        lambda: order.append("y"),
        repeats=3,
        warmup=2,
    )
    assert "".join(order) == "ymo" * 2 + "ymyoy" * 3
    assert all(len(part.ratios) == 3 for part in found.values())
    assert found["one"].ratios[0] == pytest.approx(
        found["one"].timing.seconds[0] / found["one"].sticks.seconds[0]
    )


def test_a_machine_that_slows_for_a_while_cancels_out(monkeypatch):
    """Busy from the fourth repeat on: times triple, ratios to the yardstick stay."""
    clock = {"calls": 0, "now": 0.0}
    monkeypatch.setattr(time, "perf_counter", lambda: clock["now"])

    def sleeper(seconds):
        def call():
            clock["calls"] += 1
            clock["now"] += seconds * (3 if clock["calls"] > 3 + 4 * 3 else 1)

        return call

    calls = {"many": sleeper(0.02), "one": sleeper(0.01)}
    found = interleave(calls, sleeper(0.01), repeats=7)
    assert max(found["many"].timing.seconds) > 2 * min(found["many"].timing.seconds)
    assert np.median(found["many"].ratios) == pytest.approx(2.0, rel=0.1)
    low, high = found["many"].span()
    assert 0.6 < low <= 1 <= high < 1.6


def test_intervals_are_of_the_ratios():
    noisy, calm = Timing((1.0, 2.0, 4.0, 1.0, 3.0)), Timing((1.0,) * 5)
    assert Paired(noisy, noisy).span() == (1.0, 1.0)
    low, high = Paired(noisy, calm).span()
    assert low < 0.6
    assert high > 1.4


def test_memory_is_what_lives_at_once_weights_included():
    weights, elsewhere = torch.randn(256, 256), torch.randn(512, 512)
    each = weights.untyped_storage().nbytes()

    def chain():
        x = torch.randn(256, 256)
        for _ in range(5):
            x = x @ weights  # the weights, what comes in and what goes out
        return x.view(-1)[::2].sum()

    peak = peak_memory(chain)
    assert peak.method == "live_tensors"
    assert peak.bytes == 3 * each
    assert peak_memory(lambda: torch.stack([elsewhere, elsewhere])).bytes == 3 * 4 * each
    assert peak_memory(lambda: None).bytes == 0


def test_memory_counts_networks_alike_every_time():
    net = torch.nn.Sequential(*[torch.nn.Linear(64, 64) for _ in range(4)])
    x = torch.randn(32, 64)
    with torch.inference_mode():
        peaks = {peak_memory(lambda: net(x)).bytes for _ in range(3)}
    held = 4 * (4 * (64 * 64 + 64) + 32 * 64)
    assert peaks == {held + 2 * 4 * 32 * 64}


def test_memory_depends_on_no_collector_and_no_address():
    def fed_from_outside():
        for _ in range(50):  # each input is freed before the next, whose address is often the same
            torch.from_numpy(np.ones(1000, dtype=np.float32)).add(1)

    def in_cycles():
        for _ in range(200):
            cycle = [torch.zeros(1000)]
            cycle.append(cycle)

    assert {peak_memory(fed_from_outside).bytes for _ in range(3)} == {2 * 4000}
    assert {peak_memory(in_cycles).bytes for _ in range(3)} == {200 * 4000}
    assert gc.isenabled()


def test_flops_are_two_per_multiply_add():
    a, b = torch.empty(4, 5, device="meta"), torch.empty(5, 6, device="meta")
    assert count_flops(lambda: a @ b) == 2 * 4 * 5 * 6
    assert sampling_flops(evaluations=10, denoiser=7, condition=2, decoder=3) == 75
    assert sampling_flops(evaluations=10, denoiser=7, condition=2, decoder=3, guided=True) == 147


def test_energy_says_why_it_is_missing():
    energy = measure_energy(lambda: pytest.fail("called for nothing"))
    assert energy.joules is None
    assert "cpu" in energy.reason
    assert energy.seconds is None


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


def test_yardstick_leaves_randomness_alone_and_takes_milliseconds():
    before = torch.get_rng_state()
    work = yardstick()
    assert torch.equal(before, torch.get_rng_state())
    assert VERSION.startswith("yardstick-v")
    times = time_calls(work, repeats=3)
    assert 0.0005 < times.median < 0.5
    with FlopCounterMode(display=False) as counted:
        work()
    flops = counted.get_flop_counts()["Global"]
    assert flops[torch.ops.aten.convolution] > 1e8
    assert any("attention" in str(operator) for operator in flops)


def test_yardstick_of_an_accelerator_is_larger():
    def flops(device):
        with FlopCounterMode(display=False) as counted:
            yardstick(device=device)()
        return counted.get_total_flops()

    assert flops("meta") > 500 * flops("cpu")
