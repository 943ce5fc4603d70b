"""`ldmbench reference`: real images as features and moments, with their provenance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from ldmbench.canonical import digest, digest_file
from ldmbench.catalog.extractors import extractor_named
from ldmbench.catalog.metrics import LOGITS, NEIGHBOURS, metrics_of
from ldmbench.cli.options import (
    dataset_option,
    json_option,
    opened,
    print_json,
    resolution_option,
    say,
    store_option,
)
from ldmbench.cli.progress import Watch
from ldmbench.cli.weights import require_weights
from ldmbench.errors import InputError, StageError
from ldmbench.execute.devices import devices
from ldmbench.execute.local import execute
from ldmbench.metrics.moments import moments
from ldmbench.plan.sample_scores import held_to
from ldmbench.plan.score import ImageSource, build_score_plan, drawn
from ldmbench.records.runs import write_output
from ldmbench.records.signature import name_of
from ldmbench.schema.params import FeaturesParams, FilesSource
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.reference import Reference
from ldmbench.schema.stage import Plan, Stage
from ldmbench.scoring.imports import check_captions
from ldmbench.scoring.npz import members, provenance_file, read_array, read_provenance, read_rows
from ldmbench.scoring.sides import Side, pixels_of, read_side, ruled
from ldmbench.store.disk import Store
from ldmbench.store.machine import versions
from ldmbench.store.units import units_of
from ldmbench.suite.protocol_files import protocol_named, shipped_protocols
from ldmbench.words import plural

TOLERANCE = 1e-8
ENDS = {"features": "", "spatial": "_s"}
"""Array -> how the names of its mean and covariance end, as guided-diffusion has them."""


@click.group()
@json_option
@click.pass_context
def reference(ctx: click.Context, as_json: bool) -> None:
    """Build, list and check references: features of real images, and how they were made.

    \b
    Examples:
      ldmbench reference build ffhq/ --protocol clean-fid -o ffhq.npz
      ldmbench reference build photos/ --protocol adm-2105.05233 --resolution 256 -o photos.npz
      ldmbench reference list .
      ldmbench reference verify ffhq.npz --images ffhq/
    """
    ctx.obj = as_json


@reference.command()
@click.argument("path")
@click.option("--protocol", "named", default="shapes-v1", show_default=True, metavar="P")
@dataset_option
@resolution_option
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="FILE.npz",
)
@click.option("--spatial", is_flag=True, help="Keep the spatial features of sFID too.")
@store_option
@json_option
@click.pass_obj
def build(
    before: bool,
    path: str,
    named: str,
    dataset: str | None,
    resolution: int | None,
    output: Path,
    spatial: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Write features and moments of the images of PATH, and FILE.json that says how."""
    if output.suffix != ".npz":
        raise InputError(f"-o {output}: give the file a name that ends in .npz")
    protocol = ruled(protocol_named(named), dataset)
    if spatial and not extractor_named(protocol.extractor).spatial:
        raise InputError(f"--spatial: {protocol.extractor} has no spatial features")
    found = read_side(path, protocol, store=store, side=resolution)
    if not isinstance(found.source, ImageSource):
        raise InputError(f"{path}: has no images; a reference needs images")
    if resolution not in (None, pixels_of(found)):
        raise InputError(
            f"--resolution {resolution}: {path} states another one; leave the option out"
        )
    if found.source.count < 2:
        raise InputError(f"{path}: 1 image found, at least 2 are needed for moments")
    check_captions(found, needed=False)
    found = _ordered(found, drawn(found.source, protocol))
    quiet = before or as_json
    devices()  # refused, if at all, before a folder is made
    disk = opened(store)
    arrays, plan = _extracted(found, protocol, disk, spatial=spatial, quiet=quiet)
    about = _write(output, arrays, found, protocol, plan, disk)
    if before or as_json:
        print_json({"reference": str(output), **about.model_dump(mode="json", exclude={"images"})})
    else:
        click.echo(f"{output}  {plural(about.count, 'image')}, {about.width} features")
        click.echo(f"{provenance_file(output)}")


@reference.command("list")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@json_option
@click.pass_obj
def list_(before: bool, folder: Path, as_json: bool) -> None:
    """List the references of a FOLDER and what each was built from."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    rows = []
    for path in sorted(folder.glob("*.npz")):
        try:
            about = read_provenance(path)
        except InputError as error:
            say(f"warning: {error}")
            continue
        if about:
            shown = about.model_dump(mode="json", exclude={"images"})
            rows.append({"reference": str(path), **shown})
    if before or as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(
            f"{row['reference']}  {row['title']}  {row['protocol']}  {row['extractor']}"
            f"  m {row['count']}  {row['resolution']} px  {row['crop']}, {row['resize']}"
        )


@reference.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--images", metavar="PATH", help="Check these images' digests too.")
@store_option
@json_option
@click.pass_obj
def verify(before: bool, file: Path, images: str | None, store: Path, as_json: bool) -> None:
    """Check a reference: its digest, its moments against its features, its images."""
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    about = read_provenance(file)
    if about is None:
        raise InputError(
            f"{file}: {provenance_file(file).name} is missing or of something else; nothing says"
            " how it was made"
        )
    _check_moments(file)
    if images:
        _check_images(read_side(images, _as_built(about), store=store), about, file)
    if before or as_json:
        print_json({"reference": str(file), "verified": True, "images": bool(images)})
    else:
        click.echo(f"{file}: as it was built")


def _as_built(about: Reference) -> Protocol:
    """Return the protocol of a reference with what was chosen when it was built."""
    chosen = {name: getattr(about, name) for name in ("resolution", "crop", "resize")}
    ships = about.protocol in shipped_protocols()
    named = protocol_named(about.protocol) if ships else Protocol(name=about.protocol)
    return named.model_copy(update={**chosen, "extractor": about.extractor})


def _ordered(found: Side, source: ImageSource) -> Side:
    """Return the source with its images named in the order in which they are used."""
    names = list(found.images)
    if isinstance(source.source, FilesSource) and source.source.order:
        names.sort(key=digest)
    return replace(found, source=source, images={name: found.images[name] for name in names})


def _extracted(
    found: Side, protocol: Protocol, disk: Store, *, spatial: bool, quiet: bool
) -> tuple[dict[str, Any], Plan]:
    """Return features, logits and moments, made by the same stages as a run's."""
    assert found.source is not None
    whole = protocol.model_copy(update={"splits": 1})  # of a score that is made on the way
    logits = metrics_of(LOGITS.name)[0].name
    plan = build_score_plan(found.source, None, whole, metrics=[logits], spatial=spatial)
    there = all(disk.lookup(unit.address, verify=True) for unit in units_of(_features(plan)))
    fresh = () if there else ("scores",)  # which may be there still though features were deleted
    require_weights(plan, disk, fresh=fresh)
    log = disk.root / "reference.log"
    with Watch(plan, quiet=quiet) as watch:
        result = execute(plan, disk, devices=devices(), listener=watch, log=log, fresh=fresh)
    if result.failed:
        raise (InputError if result.wrong else StageError)(
            f"{found.name}: {next(iter(result.failed.values()))}"
        )
    folders = [disk.folder(unit.address) for unit in units_of(_features(plan))]
    arrays = {
        name: np.concatenate([np.load(f / f"{name}.npy", allow_pickle=False) for f in folders])[
            : found.source.count
        ]
        for name in ("features", "logits", *(("spatial",) if spatial else ()))
    }
    for name, ends in ENDS.items():
        if name in arrays:
            made = moments(arrays[name])
            arrays |= {f"mu{ends}": made.mean, f"sigma{ends}": made.cov}
    return arrays, plan


def _features(plan: Plan) -> Stage:
    return next(stage for stage in plan.stages if stage.kind == "features")


def _write(
    output: Path,
    arrays: dict[str, Any],
    found: Side,
    protocol: Protocol,
    plan: Plan,
    disk: Store,
) -> Reference:
    assert isinstance(found.source, ImageSource)
    source, stage, stages = found.source.source, _features(plan), plan.by_key()
    assert isinstance(stage.params, FeaturesParams)
    crop, resize = source.preparation
    part = held_to(NEIGHBOURS, protocol, found.source.count)
    part = part if part < found.source.count else 0
    write_output(output, lambda file: np.savez(file, **arrays))
    about = Reference(
        title=found.source.title,
        protocol=protocol.name,
        extractor=protocol.extractor,
        weights=stage.params.weights,
        precision=protocol.precision,
        resolution=source.resolution,
        crop=crop,
        resize=resize,
        count=found.source.count,
        width=int(arrays["features"].shape[1]),
        lossy=found.lossy,
        ref=name_of(stage, stages, disk),
        neighbours=part,
        neighbours_ref=name_of(stage, stages, disk, part) if part else "",
        source_digest=source.digest if isinstance(source, FilesSource) else "",
        images=dict(found.images),
        sha256=digest_file(output),
        versions=versions(),
    )
    write_output(provenance_file(output), about.model_dump_json(indent=1))
    return about


def _check_moments(file: Path) -> None:
    """Compare the moments of a reference with its features.

    Raises:
        InputError: if an array is missing or damaged, or they are not the same.
    """
    held = members(file)
    for name, ends in ENDS.items():
        if name not in held and name != "features":
            continue
        found = moments(read_rows(file, name))
        mu, sigma = read_array(file, f"mu{ends}"), read_array(file, f"sigma{ends}")
        width = len(found.mean)
        if (mu.shape, sigma.shape) != ((width,), (width, width)):
            raise InputError(f"{file}: mu{ends} and sigma{ends} do not fit {width} {name}")
        apart, spread = np.abs(mu - found.mean).max(), np.abs(sigma - found.cov).max()
        if max(apart, spread) > TOLERANCE * max(1.0, float(np.abs(sigma).max())):
            raise InputError(
                f"{file}: mu{ends} and sigma{ends} are not those of its {name}; build it again"
            )


def _check_images(found: Side, about: Reference, file: Path) -> None:
    lost = sorted(set(about.images) - set(found.images))
    new = sorted(set(found.images) - set(about.images))
    other = [n for n in about.images if found.images.get(n, "") not in ("", about.images[n])]
    for what, names in (("missing", lost), ("not in the reference", new), ("changed", other)):
        if names:
            raise InputError(
                f"{file}: of the images in {found.name}, {len(names)} {what}, such as {names[0]}"
            )
