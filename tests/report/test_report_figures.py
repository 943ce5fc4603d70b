"""Figures: what they read reaches them, they have marks, and their lines are told apart."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from fake_records import fake, with_measure

from ldmbench.report import save_figures
from ldmbench.report.charts import quality_steps, quality_throughput
from ldmbench.report.figures import draw
from ldmbench.report.points import headline
from ldmbench.report.subject import Subject

SWEEP = {
    "datasets": ("shapes",),
    "progress": (0.5, 1.0),
    "guidance": (1.0, 2.0),
    "steps": (10, 50),
    "pictures": False,
}
LATER = ("fid", "kid", "clip_score", "precision", "inception_score", "recall")


def without(records, *names):
    """The records without some scores and measures."""
    return [
        r.model_copy(
            update={
                "scores": tuple(s for s in r.scores if s.name not in names),
                "measures": tuple(m for m in r.measures if m.name not in names),
            }
        )
        for r in records
    ]


def renamed(records, old, new):
    """The records with a score under another name."""
    return [
        r.model_copy(
            update={
                "scores": tuple(
                    s.model_copy(
                        update={"name": new, "signature": s.signature.replace(old, new, 1)}
                    )
                    if s.name == old
                    else s
                    for s in r.scores
                )
            }
        )
        for r in records
    ]


def encoded(spec):
    """The fields that a specification's encodings read, nested ones too."""
    if isinstance(spec, list):
        return {field for part in spec for field in encoded(part)}
    if not isinstance(spec, dict):
        return set()
    own = {spec["field"]} if isinstance(spec.get("field"), str) else set()
    return own.union(
        *(encoded(part) for key, part in spec.items() if key not in ("data", "datasets"))
    )


def rows_of(figure):
    return figure.chart.to_dict()["data"]["values"]


CONDITIONS = {
    "whole": (SWEEP, ()),
    "no price": (SWEEP, ("cost",)),
    "days without a sum": (SWEEP, ("cost", "total_device_days")),
    "no days": (SWEEP, ("cost", "total_device_days", "train_device_days")),
    "no flops": (SWEEP, ("train_flops",)),
    "no flops, no days": (SWEEP, ("train_flops", "total_device_days", "cost")),
    "no FID": (SWEEP, ("fid",)),
    "no FID, no speed": (SWEEP, ("fid", "throughput")),
    "CLIP score alone": (SWEEP, tuple(name for name in LATER if name != "clip_score")),
    "two datasets": ({**SWEEP, "datasets": ("shapes", "shapes_fine")}, ()),
    "samplers": ({**SWEEP, "samplers": ("ddim", "dpm++")}, ()),
    "seeds": ({**SWEEP, "train_seeds": (0, 1)}, ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
def test_every_field_that_a_figure_reads_reaches_it_and_it_has_marks(tmp_path, name):
    options, missing = CONDITIONS[name]
    run, records, extras = fake(tmp_path, downsampling=(2, 4), **options)
    drawn = draw(run, without(records, *missing), extras)
    if name in ("whole", "two datasets"):
        assert not drawn.left_out
    assert {"pareto_cost", "quality_steps", "quality_compute", "guidance"} <= set(drawn.charts)
    for figure in drawn.charts.values():
        held = {field for row in rows_of(figure) for field, v in row.items() if v is not None}
        assert encoded(figure.chart.to_dict()) <= held, figure.title
    if name in ("days without a sum", "two datasets"):
        charts = {title: figure.chart for title, figure in drawn.charts.items()}
        for path in save_figures(charts, tmp_path / "figures", formats=("svg",)):
            marks = re.findall(r'aria-roledescription="(?:point|line mark)"', path.read_text())
            assert len(marks) > 1, path.name


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("density", "higher is better"),
        ("coverage", "higher is better"),
        ("sfid", "lower is better"),
        ("fd_infinity", "lower is better"),
        ("vendi_score", "higher is better"),
        ("truth_psnr", "higher is better"),
        ("mine.sharpness", None),
    ],
)
def test_any_score_of_samples_is_quality(tmp_path, name, direction):
    run, records, extras = fake(tmp_path, downsampling=(2, 4), steps=(10, 50), pictures=False)
    alone = renamed(without(records, *LATER[1:]), "fid", name)
    assert headline(alone).name == name
    drawn = draw(run, alone, extras)
    assert {"quality_throughput", "quality_steps"} <= set(drawn.charts)
    text = str(drawn.charts["quality_steps"].chart.to_dict())
    assert direction in text if direction else "is better" not in text
    if direction is None:
        assert "no better direction" in drawn.left_out["pareto_speed"]
    else:
        assert "pareto_speed" in drawn.charts


def test_without_scores_of_samples_the_reason_is_that(tmp_path):
    run, records, extras = fake(tmp_path, downsampling=(2, 4), pictures=False)
    drawn = draw(run, without(records, *LATER), extras)
    assert "first_stage_rfid" in drawn.charts
    for name in ("quality_throughput", "pareto_speed", "quality_steps", "guidance"):
        assert drawn.left_out[name] == "No cell has a score of its samples."


def told_apart(figure):
    """Assert that no two lines of a panel have one colour and dash, or one colour and shape."""
    spec = figure.chart.to_dict()
    layers = (spec.get("spec") or spec)["layer"]
    (line,) = [la["encoding"] for la in layers if la["mark"]["type"] == "line"]
    (dots,) = [la["encoding"] for la in layers if la["mark"]["type"] == "point"]

    def mark(channel, row):
        domain, range_ = channel["scale"]["domain"], channel["scale"].get("range")
        place = domain.index(row[channel["field"]])
        return tuple(range_[place]) if range_ and isinstance(range_[0], list) else (
            range_[place] if range_ else place % 8
        )  # fmt: skip

    for dataset in {row["dataset"] for row in rows_of(figure)}:
        rows = {row["line"]: row for row in rows_of(figure) if row["dataset"] == dataset}
        for encoding, channel in ((line, "strokeDash"), (dots, "shape")):
            marks = {
                (mark(encoding["color"], row), mark(encoding[channel], row))
                for row in rows.values()
            }
            assert len(marks) == len(rows), (figure.title, channel)
            legend = encoding[channel]["legend"]
            assert {row[encoding[channel]["field"]] for row in rows.values()} <= set(
                legend["values"]
            )
        assert rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "axes",
    [
        {"samplers": ("ddim", "dpm++", "unipc")},
        {"etas": (0.0, 0.5, 1.0)},
        {"guidance": (1.0, 2.0, 4.0)},
        {"sample_seeds": (0, 1, 2)},
        {"train_seeds": (0, 1, 2)},
        {"samplers": ("ddim", "dpm++"), "guidance": (1.0, 2.0), "sample_seeds": (0, 1, 2)},
    ],
    ids=lambda axes: "+".join(axes),
)
@pytest.mark.parametrize("models", [(4,), (1, 2, 4, 8)], ids=["one model", "four models"])
def test_lines_of_one_model_are_told_apart(tmp_path, axes, models):
    _, records, extras = fake(tmp_path, downsampling=models, steps=(10, 50), pictures=False, **axes)
    subject = Subject.of(records, extras)
    ways = 1
    for values in axes.values():
        ways *= len(values)
    figures = quality_throughput(subject), quality_steps(subject)
    for figure in figures:
        lines = {(row["dataset"], row["line"]) for row in rows_of(figure)}
        assert len(lines) == 2 * len(models) * ways
        told_apart(figure)
    word = {"etas": "η"}.get(next(iter(axes)), next(iter(axes)).rstrip("s").replace("_", " "))
    assert word in figures[1].caption


def test_no_name_of_a_legend_is_cut(tmp_path):
    long = [
        f"ldm[channels={c},conditioning=caption,autoencoder.latent_channels=4,objective={o}"
        for c in (32, 64)
        for o in ("eps", "v")
    ]
    _, records, extras = fake(
        tmp_path, models=long, downsampling=(4,), steps=(10, 50), pictures=False
    )
    charts = {"quality_steps": quality_steps(Subject.of(records, extras)).chart}
    (path,) = save_figures(charts, tmp_path / "figures", formats=("svg",))
    text = re.sub(r"<[^>]+>", "", path.read_text())
    assert "…" not in text
    style = resources.files("ldmbench.report").joinpath("templates", "page.css").read_text("utf-8")
    assert "ellipsis" not in style  # nor one of the page's table and filters
    for name in long:
        assert f"{name}[f=4]" in text


def test_unlike_signatures_share_no_line(tmp_path):
    run, records, extras = fake(
        tmp_path, downsampling=(2, 4), steps=(10, 50), datasets=("shapes",), pictures=False
    )
    unlike = [
        r.model_copy(
            update={
                "scores": tuple(
                    s.model_copy(update={"signature": s.signature.replace("n:512", "n:64")})
                    for s in r.scores
                )
            }
        )
        if r.cell.steps == 50
        else r
        for r in records
    ]
    charts = draw(run, unlike, extras).charts
    for name, field in (("quality_steps", "line"), ("pareto_speed", "made")):
        layers = charts[name].chart.to_dict()["layer"]
        line = next(la["encoding"] for la in layers if la["mark"]["type"] == "line")
        assert line["detail"]["field"] == field
        steps = {}
        for row in rows_of(charts[name]):
            steps.setdefault(row[field], set()).add(row["steps"])
        assert all(len(there) == 1 for there in steps.values())
    assert "n 64" in {row["way"] for row in rows_of(charts["quality_steps"])}
    told_apart(charts["quality_steps"])


def test_denoisers_on_one_first_stage_are_one_point_and_one_curve(tmp_path):
    run, records, extras = fake(
        tmp_path, models=("a", "b", "c"), downsampling=(2, 4), datasets=("shapes",), pictures=False
    )
    shared = [
        r.model_copy(
            update={
                "cell": r.cell.model_copy(
                    update={"stages": {**r.cell.stages, "autoencoder": f"{r.cell.f:064x}"}}
                )
            }
        )
        for r in records
    ]
    charts = draw(run, shared, extras).charts
    for name in ("first_stage_psnr", "first_stage_rfid"):
        rows = rows_of(charts[name])
        assert {row["owner"] for row in rows} == {"a[f=2] and 2 more", "a[f=4] and 2 more"}
        assert len(rows) == 2
    curves = rows_of(charts["training_autoencoder"])
    assert len({row["line"] for row in curves}) == 2
    assert "share its curve" in charts["training_autoencoder"].caption


def test_a_line_joins_the_first_stages_of_one_model_and_labels_each_once(tmp_path):
    run, records, extras = fake(
        tmp_path, models=("ldm", "b"), downsampling=(2, 4), datasets=("shapes",), steps=(10,),
        pictures=False,
    )  # fmt: skip

    def staged(record, stage, latents="mode"):
        stages = {**record.cell.stages, "autoencoder": stage}
        cell = record.cell.model_copy(update={"stages": stages, "latents": latents})
        return record.model_copy(update={"cell": cell})

    own = [staged(r, r.cell.model) for r in records]
    rows = rows_of(draw(run, [*own, staged(own[0], own[0].cell.model, "sample")], extras).charts[
        "first_stage_psnr"
    ])  # fmt: skip
    assert {row["line"] for row in rows} == {"ldm", "b"}
    assert sorted(row["label"] for row in rows) == ["", "f=2", "f=2", "f=4", "f=4"]
    lone = [r for r in own if (r.cell.f == 2) == r.cell.model.startswith("ldm")]
    rows = rows_of(draw(run, lone, extras).charts["first_stage_psnr"])
    assert {row["line"] for row in rows} == {""}


def test_training_is_drawn_by_what_its_curve_tells(tmp_path):
    run, records, extras = fake(tmp_path, datasets=("shapes",), pictures=False)
    charts = draw(run, records, extras).charts
    speeds = {row["images_per_second"] for row in rows_of(charts["training_denoiser_speed"])}
    assert [round(speed) for speed in speeds] == [1280]  # 64 images in 0.05 s
    assert "ends at rate 0.0002" in charts["training_denoiser_rate"].alt
    assert all(row["gradient_norm"] > 0 for row in rows_of(charts["training_denoiser_gradient"]))
    older = {
        name: tuple(p.model_copy(update={"rate": None, "gradient_norm": None}) for p in curve)
        for name, curve in extras.curves.items()
    }
    left = draw(run, records, extras.model_copy(update={"curves": older})).left_out
    assert "has its learning rate" in left["training_denoiser_rate"]
    assert "training_denoiser" not in left


def test_ticks_are_written_in_digits_and_their_prefix_in_the_title(tmp_path):
    run, records, extras = fake(
        tmp_path / "run", datasets=("shapes",), progress=(0.5, 1.0), pictures=False
    )
    records = with_measure(records, "throughput", lambda f: 13.0 + 2 * f)
    records = with_measure(records, "train_flops", lambda f: 1e18 * (1 + f % 3))
    drawn = draw(run, without(records, "cost", "total_device_days", "train_device_days"), extras)
    names = ("quality_throughput", "quality_compute", "pareto_cost")
    charts = {name: drawn.charts[name].chart for name in names}
    for path in save_figures(charts, tmp_path / "figures", formats=("svg",)):
        told = re.findall(r">([^<>]+)</text>", path.read_text())
        assert "40" in told or path.stem != "quality_throughput"
        assert path.stem == "quality_throughput" or any("exaFLOP" in text for text in told)
        assert not [text for text in told if re.fullmatch(r"[\d.]+([eE]\+?\d+|E)", text)]
