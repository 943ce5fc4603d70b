"""Made-up records that look like a sweep: test data for report and track, never results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ldmbench.schema.record import (
    CodingPoint,
    CurvePoint,
    Extras,
    Measure,
    Picture,
    Record,
    Run,
    Score,
    SpectrumPoint,
)
from ldmbench.schema.stage import Cell

EVIL = ("<script>alert(1)</script>", "../../etc")
DEVICE = "cpu (2 cores)"
MACHINE = {"cpu": "x86_64, 2 cores", "gpu": None, "memory_gib": 24, "platform": "Linux"}
VERSIONS = {"python": "3.11.7", "torch": "2.15.0", "diffusers": "0.42.1", "numpy": "2.4.6"}
STRENGTH = {1: 60.0, 2: 16.0, 4: 5.0, 8: 7.5, 16: 19.0, 32: 42.0}
RATE = {1: 24.0, 2: 9.2, 4: 2.6, 8: 0.9, 16: 0.28, 32: 0.09}


def fake(
    folder: Path,
    *,
    downsampling: Sequence[int] = (1, 2, 4, 8, 16, 32),
    datasets: Sequence[str] = ("shapes", "shapes_fine"),
    steps: Sequence[int] = (10, 20, 50, 100, 200),
    progress: Sequence[float] = (1.0,),
    guidance: Sequence[float] = (1.0,),
    models: Sequence[str] = ("ldm",),
    samplers: Sequence[str] = ("ddim",),
    etas: Sequence[float] = (0.0,),
    train_seeds: Sequence[int] = (0,),
    sample_seeds: Sequence[int] = (0,),
    failed: Sequence[int] = (),
    protocols: Sequence[str] = ("shapes-net@6726825d",),
    pictures: bool = True,
    side: int = 32,
) -> tuple[Run, list[Record], Extras]:
    """Return a run, its records and extras, and write them into `folder` as a run does."""
    seeded = len(train_seeds) > 1
    cells = [
        _cell(m, f, d, s, g, p, sampler=n, eta=e, seeds=(t if seeded else None, i))
        for m, f, t in product(models, downsampling, train_seeds)
        for d, p, g in product(datasets, progress, guidance)
        for n, s, e, i in product(samplers, steps, etas, sample_seeds)
    ]
    run = Run(
        id="downsampling_sweep-20260102T030405-ab12",
        suite="downsampling_sweep",
        suite_digest="ab" * 32,
        question="How far should images be compressed before diffusion? "
        "(arXiv:2112.10752, Figures 6 and 7)",
        source="suite: downsampling_sweep\nmodels: {ldm: {kind: ldm}}\n",
        state="done",
        started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T05:06:07+00:00",
        executed=34,
        reused=7,
        cells=tuple(c.id for c in cells),
    )
    records = [
        _record(run, c, fails=c.f in failed and c.steps == max(steps), protocols=protocols)
        for c in cells
    ]
    extras = _extras(folder, records, pictures=pictures, side=side)
    write(folder, run, records, extras)
    return run, records, extras


def write(folder: Path, run: Run, records: Sequence[Record], extras: Extras) -> None:
    """Write the three files of a run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(run.model_dump_json())
    (folder / "records.jsonl").write_text("".join(r.model_dump_json() + "\n" for r in records))
    (folder / "extras.json").write_text(extras.model_dump_json())


def with_measure(
    records: Sequence[Record], name: str, value: Callable[[int | None], float | None]
) -> list[Record]:
    """Return the records with a measure replaced by a function of f."""
    return [
        r.model_copy(
            update={
                "measures": tuple(
                    m.model_copy(update={"value": value(r.cell.f)}) if m.name == name else m
                    for m in r.measures
                )
            }
        )
        for r in records
    ]


def _cell(
    model: str,
    f: int,
    dataset: str,
    steps: int,
    guidance: float,
    progress: float,
    *,
    sampler: str = "ddim",
    eta: float = 0.0,
    seeds: tuple[int | None, int] = (None, 0),
) -> Cell:
    train, sample = seeds
    axes = {"f": f} if train is None else {"f": f, "train_seed": train}
    title = f"{model}[{','.join(f'{k}={v}' for k, v in axes.items())}]"
    way = f"{sampler}-{steps}" + (f"-eta{eta:g}" if eta else "")
    end = f"/p{progress:g}" if progress != 1 else ""
    return Cell(
        id=f"{title}/{dataset}/{way}/g{guidance:g}/s{sample}{end}",
        model=title,
        dataset=dataset,
        axes={**axes, "steps": steps},
        f=f,
        regularization="none" if f == 1 else "kl",
        conditioning="none",
        sampler=sampler,
        steps=steps,
        eta=eta,
        guidance=guidance,
        progress=progress,
        train_seed=train or 0,
        sample_seed=sample,
        count=512,
        stages={"dataset": "d" * 64, "denoiser": f"{f:064x}", "samples": f"{f * steps:064x}"},
    )


def _noise(cell: Cell) -> float:
    return math.sin(hash((cell.f, cell.steps, len(cell.dataset), len(cell.dataset))) % 1000)


def _fid(cell: Cell) -> float:
    base = STRENGTH[cell.f] * (1.3 if cell.dataset == "shapes_fine" else 1.0)
    base *= 1 + 3.0 * math.exp(-3 * cell.progress)
    base *= 1 + 0.1 * cell.eta + 0.02 * len(cell.sampler) - 0.08
    base += 0.5 * cell.train_seed + 0.1 * cell.sample_seed
    return base + 60 / cell.steps + 2 * abs(cell.guidance - 2) + 0.2 * _noise(cell)


def _record(run: Run, cell: Cell, *, fails: bool, protocols: Sequence[str]) -> Record:
    common = {"run": run.id, "cell": cell, "machine": MACHINE, "versions": VERSIONS}
    if fails:
        reason = "denoiser 3fa9c1e2 ran out of memory: 9.1 GiB asked for, 7.4 GiB free"
        return Record(**common, status="failed", reason=reason)
    scores = [
        s.model_copy(update={"protocol": p.partition("@")[0]})
        for p in protocols
        for s in _quality(cell, p)
    ] + _first_stage_scores(cell)
    measures = [*_speed(cell), *_training(cell), *_first_stage(cell)]
    keys = {"samples": cell.stages["samples"], "denoiser": cell.stages["denoiser"]}
    return Record(
        **common, status="done", scores=tuple(scores), measures=tuple(measures), keys=keys
    )


def _score(cell: Cell, name: str, value: float | None, half: float, tail: str, **more) -> Score:
    if value is None:
        return Score(name=name, value=None, n=512, signature=f"{name}|v1|{tail}", **more)
    return Score(
        name=name,
        value=value,
        low=value - half,
        high=value + half,
        confidence=0.95,
        n=512,
        method="bootstrap, 200 draws",
        signature=f"{name}|v1|{tail}",
        **more,
    )


def _quality(cell: Cell, feat: str) -> list[Score]:
    fid = _fid(cell)
    ref = f"ref:{cell.dataset}-reference@a1b2c3d4|n:512|m:10000"
    tail = f"feat:{feat}|{ref}|crop:center|resize:none|quant:round|dtype:f32"
    return [
        _score(cell, "fid", fid, 0.03 * fid + 0.3, tail),
        _score(cell, "kid", fid / 900, fid / 9000, tail + "|subsets:100x256"),
        _score(cell, "inception_score", 4.2 - fid / 30, 0.1, tail + "|splits:10"),
        _score(cell, "precision", max(0.02, 0.9 - fid / 90), 0.02, tail + "|k:3|rule:le"),
        _score(cell, "recall", max(0.01, 0.8 - fid / 80), 0.03, tail + "|k:3|rule:le"),
        _score(cell, "clip_score", 31 - fid / 8 + cell.guidance, 0.2,
               f"clip:shapes-clip@9f8e7d6c|{ref}|dtype:f32"),
    ]  # fmt: skip


def _first_stage_scores(cell: Cell) -> list[Score]:
    tail = f"ref:{cell.dataset}-reference@a1b2c3d4|n:1000"
    feat = f"feat:shapes-net@6726825d|{tail}|m:10000"
    if cell.f == 1:
        exact = "the first stage is the identity; its PSNR is infinite"
        return [
            _score(cell, "rfid", 0.0, 0.0, feat),
            _score(cell, "psnr", None, 0, tail, reason=exact),
            _score(cell, "ssim", 1.0, 0.0, tail),
            _score(cell, "lpips", 0.0, 0.0, tail),
        ]
    rfid = 0.2 * cell.f**1.2
    return [
        _score(cell, "rfid", rfid, 0.05 * rfid, feat),
        _score(cell, "psnr", 40 - 5.2 * math.log2(cell.f), 0.1, tail),
        _score(cell, "ssim", 0.99 - 0.06 * math.log2(cell.f), 0.004, tail),
        _score(cell, "lpips", 0.012 * cell.f, 0.001, tail),
    ]


def _measure(name: str, value: float | None, unit: str, spread: float = 0.0, **more) -> Measure:
    low, high = (None, None) if value is None or not spread else (value - spread, value + spread)
    return Measure(name=name, value=value, low=low, high=high, unit=unit, device=DEVICE, **more)


def _speed(cell: Cell) -> list[Measure]:
    rate = 9.0 * cell.f**1.4 / cell.steps * 10
    energy = "no energy counter can be read on this machine"
    return [
        _measure("throughput", rate, "images/s", 0.03 * rate, n=5, batch=16),
        _measure("latency", 1.6 / rate, "s", 0.05 / rate, n=5),
        _measure("latency_p95", 1.9 / rate, "s"),
        _measure("evaluations", cell.steps, "1"),
        _measure("flops_per_image", 2.7e9 * cell.steps / cell.f**1.6, "FLOP"),
        _measure("parameters", 2.6e6 + 1e5 * cell.f, "1"),
        _measure("peak_memory", 9e8 / cell.f + 3e8, "bytes"),
        _measure("energy_per_image", None, "J", reason=energy),
    ]


def _training(cell: Cell) -> list[Measure]:
    days = 0.004 * cell.progress * (1 + 0.1 / cell.f)
    first = 0.0 if cell.f == 1 else 0.002
    return [
        _measure("train_flops", 2e15 * cell.progress, "FLOP"),
        _measure("train_steps", round(4000 * cell.progress * cell.f**0.5), "1"),
        _measure("train_images", round(64 * 4000 * cell.progress * cell.f**0.5), "1"),
        _measure("train_device_days", days, "device-days"),
        _measure("autoencoder_device_days", first, "device-days"),
        _measure("total_device_days", days + first, "device-days"),
        _measure("amortised_device_days", days + first / 2, "device-days"),
        _measure("cost", (days + first) * 24 * 0.05, "currency"),
    ]


def _first_stage(cell: Cell) -> list[Measure]:
    entropy = "the first stage has no codes"
    return [
        _measure("rate", RATE[cell.f], "bits/pixel"),
        _measure("code_entropy", None, "bits/pixel", reason=entropy),
        _measure("latent_scale", 1.0 if cell.f == 1 else 0.9, "1"),
    ]


def _extras(folder: Path, records: Sequence[Record], *, pictures: bool, side: int) -> Extras:
    curves: dict[str, tuple[CurvePoint, ...]] = {}
    coding: dict[str, tuple[CodingPoint, ...]] = {}
    spectra: dict[str, tuple[SpectrumPoint, ...]] = {}
    sheets: list[Picture] = []
    for record in records:
        if record.status == "failed":
            continue
        cell = record.cell
        label = f"{cell.model}/{cell.dataset}"
        curves.setdefault(f"{label} denoiser", _curve(cell, 4000))
        if cell.f != 1:
            curves.setdefault(f"{label} autoencoder", _curve(cell, 2000))
            spectra[cell.id] = _spectrum(cell)
        if cell.steps == max(r.cell.steps for r in records):
            coding[cell.id] = _coding(cell)
    if pictures:
        datasets = dict.fromkeys(r.cell.dataset for r in records)
        sheets += [_sheet(folder, f"real/{d}", d, 0.0, side) for d in datasets]
        sheets += [
            _sheet(folder, r.cell.id, r.cell.dataset, _fid(r.cell), side)
            for r in records
            if r.status == "done"
        ]
    return Extras(curves=curves, coding=coding, spectra=spectra, pictures=tuple(sheets))


def _curve(cell: Cell, steps: int) -> tuple[CurvePoint, ...]:
    floor = 0.05 + 0.01 * math.log2(cell.f)
    return tuple(
        CurvePoint(
            step=s,
            images=64 * s,
            loss=floor + 0.9 * math.exp(-s / 300) + 0.004 * math.sin(s * cell.f),
            seconds=s * 0.05,
            rate=2e-4 * min(1.0, s / 100),
            gradient_norm=s**-0.5,
        )
        for s in range(20, steps + 1, 20)
    )


def _spectrum(cell: Cell) -> tuple[SpectrumPoint, ...]:
    slope = -3 / (cell.f or 1)
    return tuple(
        SpectrumPoint(frequency=d / 14, log_power=slope * math.log10(d) - 1) for d in range(1, 15)
    )


def _coding(cell: Cell) -> tuple[CodingPoint, ...]:
    rate = RATE[cell.f] / 3
    return tuple(
        CodingPoint(
            t=t,
            bits_per_dim=rate * (1 - t / 1000) ** 3,
            rmse=2 + 90 * (t / 1000) ** 1.5 + math.log2(cell.f) * 2,
        )
        for t in range(0, 1000, 50)
    )


CAPTIONS = (
    "a small red circle above a blue square",
    "a large green triangle",
    "a yellow star left of a purple circle",
    "two white squares",
)


def _sheet(folder: Path, title: str, dataset: str, blur: float, side: int) -> Picture:
    columns, rows = 8, 3
    sheet = Image.new("RGB", (columns * side, rows * side))
    for i in range(columns * rows):
        tile = _scene(i, side).filter(ImageFilter.GaussianBlur(min(8, blur / 8) * side / 64))
        if blur:
            rng = np.random.default_rng(i)
            pixels = np.asarray(tile, dtype=float) + rng.normal(0, blur, (side, side, 3))
            tile = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        sheet.paste(tile, (i % columns * side, i // columns * side))
    name = "".join(c if c.isalnum() else "-" for c in title).strip("-")[-120:] + ".png"
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    sheet.save(folder / "pictures" / name)
    return Picture(
        title=title,
        dataset=dataset,
        file=f"pictures/{name}",
        side=side,
        columns=columns,
        rows=rows,
        captions=tuple(CAPTIONS[i % 4] for i in range(columns * rows)),
    )


def _scene(index: int, side: int) -> Image.Image:
    rng = np.random.default_rng(1000 + index)
    scene = Image.new("RGB", (side, side), tuple(int(v) for v in rng.integers(150, 240, 3)))
    draw = ImageDraw.Draw(scene)
    for _ in range(2):
        x, y = (int(v) for v in rng.integers(0, side * 6 // 10, 2))
        size = int(rng.integers(side // 4, side // 2))
        colour = tuple(int(v) for v in rng.integers(20, 230, 3))
        box = (x, y, x + size, y + size)
        draw.ellipse(box, fill=colour) if rng.random() < 0.5 else draw.rectangle(box, fill=colour)
    return scene
