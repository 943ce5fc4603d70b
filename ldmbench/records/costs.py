"""What training cost: the denoiser, its first stage, and both in common units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ldmbench.schema.record import Measure
from ldmbench.schema.stage import Cell, Plan

__all__ = ["costs"]

SECONDS_PER_DAY = 86_400
V100S = {"V100": 1.0, "A100": 2.2}
"""Part of a device's name -> its speed in V100s (arXiv:2112.10752, appendix F)."""

Account = Mapping[str, Any] | None


def costs(
    denoiser: Account,
    autoencoder: Account,
    *,
    cell: Cell,
    plan: Plan,
    sources: Sequence[Account] = (),
) -> Iterator[Measure]:
    """Yield what training cost: each part, and their sums in FLOPs and in days of one device.

    A device-day is one of the named device. Where the first stage was trained on another, its days
    are converted: by the product of matrices that both trainings timed in one precision, else by
    their own FLOP/s, which also depend on how large their networks are. Such sums say so.

    Args:
        denoiser: what its cost.json says; None of a model that was not trained here.
        autoencoder: likewise.
        cell: whose share of the training counts.
        plan: says who shares a first stage, and prices.
        sources: likewise of the denoisers that its weights went through before. No sum contains
            them.
    """
    if not cell.is_sampled:
        yield from _alone(autoencoder)
    if denoiser is None:
        return
    if autoencoder is None:
        yield from _above_another(denoiser, cell)
        yield from _pace(denoiser, str(denoiser["device"]))
        if sources:
            yield _before(sources)
        return
    share = cell.progress
    own = share * _seconds(denoiser) / SECONDS_PER_DAY
    first = _seconds(autoencoder) / SECONDS_PER_DAY
    device = str(denoiser["device"])
    other = str(autoencoder["device"]) if first else device  # the identity trains nowhere
    yield Measure(name="train_device_days", value=own, unit="device-days", device=device)
    yield Measure(name="autoencoder_device_days", value=first, unit="device-days", device=other)
    if sources:
        yield _before(sources)
    here: float | None = first
    how = ""
    if other != device:
        speeds, by = _speeds(autoencoder, denoiser)
        here = first * speeds[0] / speeds[1] if all(speeds) else None
        how = f"{first:.3g} days of {other}, where the first stage was trained"
        how += f", count as {here:.3g} of {device} by {by}" if here else ""
    yield from _pace(denoiser, device)
    yield from _sums(own, here, how, device=device, cell=cell, plan=plan)
    flops = {"train": share * denoiser["flops"], "autoencoder_train": autoencoder["flops"]}
    flops["total_train"] = sum(flops.values())
    for name, value in flops.items():
        yield Measure(name=f"{name}_flops", value=value, unit="FLOP", device=device)
    for name in ("steps", "images"):
        value = share * denoiser[name]
        yield Measure(name=f"train_{name}", value=value, unit=name, device=device)


def _speeds(*trainings: Mapping[str, Any]) -> tuple[list[float], str]:
    """Return FLOP/s by which the devices of trainings are compared, and what they are of."""
    timed = [float(part.get("matrix_flops") or 0) for part in trainings]
    if all(timed) and len({part.get("precision", "float32") for part in trainings}) == 1:
        return timed, "a product of matrices timed on both"
    own = [float(part["flops"]) / (_seconds(part) or 1) for part in trainings]
    return own, "the FLOP/s of both trainings"


def _alone(autoencoder: Account) -> Iterator[Measure]:
    """Yield what the training of a first stage took that no denoiser stands on."""
    if autoencoder is None:
        return
    device, days = str(autoencoder["device"]), _seconds(autoencoder) / SECONDS_PER_DAY
    yield Measure(name="autoencoder_device_days", value=days, unit="device-days", device=device)
    flops = autoencoder["flops"]
    yield Measure(name="autoencoder_train_flops", value=flops, unit="FLOP", device=device)


def _seconds(account: Mapping[str, Any]) -> float:
    """Return the seconds of a training, times its devices; accounts of old know one device."""
    return float(account.get("device_seconds") or account["seconds"])


def _before(sources: Sequence[Account]) -> Measure:
    """Return what the trainings took whose weights a model started from."""
    known = [source for source in sources if source is not None]
    whole = len(known) == len(sources)
    return Measure(
        name="source_device_days",
        value=sum(map(_seconds, known)) / SECONDS_PER_DAY if whole else None,
        unit="device-days",
        device=" and ".join(dict.fromkeys(str(source["device"]) for source in known)),
        reason=None if whole else "a model that was not trained here does not say what it took",
    )


def _pace(denoiser: Mapping[str, Any], device: str) -> Iterator[Measure]:
    """Yield how fast a denoiser was trained, and what that took; older trainings do not say all."""
    seconds, shares = denoiser["seconds"], denoiser.get("shares") or {}
    found = [
        ("train_throughput", denoiser["images"] / seconds if seconds else None, "images/s"),
        ("train_utilisation", denoiser.get("utilisation") or None, "1"),
        ("train_memory", denoiser.get("memory") or None, "bytes"),
        *((f"train_share_{name}", share, "1") for name, share in sorted(shares.items())),
    ]
    for name, value, unit in found:
        if value is not None:
            yield Measure(name=name, value=value, unit=unit, device=device)


def _above_another(denoiser: Mapping[str, Any], cell: Cell) -> Iterator[Measure]:
    """Yield what a denoiser cost whose first stage was trained elsewhere: sums are not known."""
    share, device = cell.progress, str(denoiser["device"])
    days, flops = share * denoiser["seconds"] / SECONDS_PER_DAY, share * denoiser["flops"]
    yield Measure(name="train_device_days", value=days, unit="device-days", device=device)
    why = "its first stage was trained elsewhere, and its files do not say what that took"
    for name in ("autoencoder_device_days", "total_device_days"):
        yield Measure(name=name, value=None, unit="device-days", device=device, reason=why)
    yield Measure(name="train_flops", value=flops, unit="FLOP", device=device)
    for name in ("steps", "images"):
        value = share * denoiser[name]
        yield Measure(name=f"train_{name}", value=value, unit=name, device=device)


def _sums(
    own: float, first: float | None, how: str, *, device: str, cell: Cell, plan: Plan
) -> Iterator[Measure]:
    """Yield the sums of both parts in days of the denoiser's device, and what follows from them.

    Args:
        own: days of the denoiser.
        first: days of the first stage, on this device or converted to it; None: not comparable.
        how: it was converted; "" where it was not.
        device: of the days.
        cell: with its first stage.
        plan: says who shares it, and prices.
    """
    total = None if first is None else own + first
    shared = None if first is None else own + first / _sharing(plan)[cell.stages["autoencoder"]]
    sums = [
        ("total_device_days", total, 1.0, "device-days"),
        ("amortised_device_days", shared, 1.0, "device-days"),
    ]
    factor = plan.v100_factor or next((v for name, v in V100S.items() if name in device), None)
    if factor:
        sums.append(("v100_days", total, factor, "V100-days"))
    if plan.price_per_device_hour:
        sums.append(("cost", total, 24 * plan.price_per_device_hour, "currency"))
    for name, days, each, unit in sums:
        yield Measure(
            name=name,
            value=None if days is None else each * days,
            unit=unit,
            device=device,
            reason=f"{how}: nothing converts them to {device}" if days is None else None,
            converted="" if days is None else how,
        )


def _sharing(plan: Plan) -> Counter[str]:
    """Return how many denoisers stand on each autoencoder."""
    pairs = {(c.stages["autoencoder"], c.stages["denoiser"]) for c in plan.cells if c.is_sampled}
    return Counter(autoencoder for autoencoder, _ in pairs)
