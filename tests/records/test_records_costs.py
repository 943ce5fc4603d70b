"""What training cost: each part, and sums in FLOPs and in days of one device, converted or not."""

from types import SimpleNamespace

import pytest

from ldmbench.catalog.measures import MEASURES
from ldmbench.records.costs import costs

GPU, CPU, OTHER = "NVIDIA H200", "AMD EPYC x 1 threads", "Intel Xeon x 1 threads"
DAY = 86_400.0
SUMS = ("total_device_days", "amortised_device_days", "v100_days", "cost")


def measured(first, denoiser, *, v100_factor=2.0, progress=1.0, sources=()):
    """Return the measures of a cell whose parts took (seconds, device, FLOPs, more fields)."""
    parts = [
        {"seconds": seconds, "device": device, "flops": flops, "steps": 2, "images": 3}
        | (more[0] if more else {})
        for seconds, device, flops, *more in (denoiser, first)
    ]
    stages = {kind: kind for kind in ("autoencoder", "denoiser")}
    cell = SimpleNamespace(progress=progress, stages=stages, is_sampled=True)
    twin = SimpleNamespace(stages={**stages, "denoiser": "another"}, is_sampled=True)
    plan = SimpleNamespace(cells=(cell, twin), v100_factor=v100_factor, price_per_device_hour=1.0)
    return {m.name: m for m in costs(*parts, cell=cell, plan=plan, sources=sources)}


def test_days_of_one_device_add_up():
    found = measured((DAY, GPU, 8.0), (2 * DAY, GPU, 4.0))
    assert [found[name].value for name in SUMS] == [3.0, 2.5, 6.0, 72.0]
    assert {m.device for m in found.values()} == {GPU}
    assert not any(m.reason or m.converted for m in found.values())
    names = ("train_flops", "autoencoder_train_flops", "total_train_flops")
    assert [found[name].value for name in names] == [4.0, 8.0, 12.0]


@pytest.mark.parametrize(("first", "denoiser"), [(CPU, GPU), (GPU, CPU), (CPU, OTHER)])
def test_days_of_two_devices_add_up_where_flops_convert_them(first, denoiser):
    # the first stage ran at 6 FLOP a day, the denoiser at 4: its day is 1.5 of the other's
    found = measured((DAY, first, 6.0), (2 * DAY, denoiser, 8.0))
    assert (found["train_device_days"].value, found["train_device_days"].device) == (2.0, denoiser)
    days = found["autoencoder_device_days"]
    assert (days.value, days.device, days.converted) == (1.0, first, "")
    assert [found[name].value for name in SUMS] == pytest.approx([3.5, 2.75, 7.0, 84.0])
    for name in SUMS:
        assert found[name].device == denoiser
        assert f"1 days of {first}" in found[name].converted
        assert f"count as 1.5 of {denoiser}" in found[name].converted
    assert found["total_train_flops"].value == 14.0


@pytest.mark.parametrize(
    ("precision", "day", "by"),
    [
        ("float32", 0.5, "a product of matrices timed on both"),
        ("bfloat16", 1.5, "the FLOP/s of both trainings"),  # another product on each side
    ],
)
def test_days_are_converted_by_what_both_devices_can_do_not_by_how_large_networks_are(
    precision, day, by
):
    first = (DAY, CPU, 6.0, {"matrix_flops": 8.0})
    denoiser = (2 * DAY, OTHER, 8.0, {"matrix_flops": 16.0, "precision": precision})
    days = measured(first, denoiser)["total_device_days"]
    assert days.value == pytest.approx(2 + day)
    assert days.converted.endswith(f"count as {day} of {OTHER} by {by}")


def test_without_flops_nothing_converts_them():
    found = measured((DAY, CPU, 0.0), (2 * DAY, GPU, 8.0))
    for name in SUMS:
        assert found[name].value is None
        assert CPU in found[name].reason
        assert GPU in found[name].reason


def test_the_identity_trains_nowhere():
    found = measured((0.0, CPU, 0.0), (2 * DAY, GPU, 1.0))
    assert [found[name].value for name in SUMS] == [2.0, 2.0, 4.0, 48.0]
    assert {m.device for m in found.values()} == {GPU}
    assert not any(m.converted for m in found.values())


@pytest.mark.parametrize(
    ("device", "stated", "days"),
    [("NVIDIA A100-SXM4-80GB", None, 2.2), ("Tesla V100-SXM2", None, 1.0), (GPU, None, None),
     ("NVIDIA A100-SXM4-80GB", 3.0, 3.0)],
)  # fmt: skip
def test_v100_days_by_the_papers_factor_unless_one_is_stated(device, stated, days):
    found = measured((0.0, CPU, 0.0), (DAY, device, 1.0), v100_factor=stated)
    assert found["v100_days"].value == days if days else "v100_days" not in found


def test_the_days_of_a_source_stand_apart_from_every_sum():
    parts = ((DAY, GPU, 8.0), (2 * DAY, GPU, 4.0))
    source = {"seconds": 5 * DAY, "device": GPU, "flops": 1.0, "steps": 2, "images": 3}
    plain, found = measured(*parts), measured(*parts, sources=[source, source])
    assert found.pop("source_device_days").value == 10.0
    assert found == plain
    unknown = measured(*parts, sources=[source, None])["source_device_days"]
    assert unknown.value is None
    assert "not trained here" in unknown.reason


def test_pace_of_training_is_measured_where_it_was_told():
    told = {"utilisation": 0.25, "memory": 2**30, "shares": {"data": 0.1, "network": 0.9}}
    stages = {"autoencoder": "a", "denoiser": "d"}
    cell = SimpleNamespace(progress=1.0, stages=stages, is_sampled=True)
    plan = SimpleNamespace(cells=(cell,), v100_factor=None, price_per_device_hour=None)
    part = {"seconds": 2.0, "device": CPU, "flops": 8.0, "steps": 2, "images": 3}
    found = {m.name: m for m in costs(part | told, part, cell=cell, plan=plan)}
    assert found["train_throughput"].value == 1.5
    assert found["train_utilisation"].value == 0.25
    assert found["train_memory"].value == 2**30
    assert found["train_share_network"].value == 0.9
    older = {m.name for m in costs(part, part, cell=cell, plan=plan)}
    assert not {"train_utilisation", "train_memory", "train_share_data"} & older
    assert {m.probe for n, m in MEASURES.items() if n.startswith("train_")} == {"device_days"}
