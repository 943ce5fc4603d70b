from __future__ import annotations

import csv
import dataclasses
import re
from importlib import resources

import pytest

from ldmbench.catalog.metrics import SCORES
from ldmbench.errors import InputError
from ldmbench.published.pairing import TASKS, Measured, corresponds, differences
from ldmbench.published.rows import FILES, chosen, dataset_of, published
from ldmbench.suite.protocol_files import shipped_protocols


def test_every_row_of_both_files_is_read_with_its_source_and_a_number():
    rows = published()
    written = [
        row
        for name in FILES
        for row in csv.DictReader(
            resources.files("ldmbench.published").joinpath(name).read_text("utf-8").splitlines()
        )
    ]
    assert len(rows) == len(written) == 2290
    for row, text in zip(rows, written, strict=True):
        assert row.source
        assert row.table
        assert row.printed == text["value"]
        assert row.value == float(text["value"])


def test_rows_name_protocols_and_quantities_that_exist():
    elsewhere = {"a100_throughput", "printed_days", None}
    assert {row.protocol for row in published()} <= {*shipped_protocols(), None}
    assert {row.quantity for row in published()} - elsewhere <= set(SCORES)


def test_suspect_rows_are_those_whose_note_says_so():
    suspect = [row for row in published() if row.suspect]
    assert {(r.model.partition(" (")[0], r.resolution) for r in suspect} == {
        ("ADM-G, ADM-U", "256")
    }
    assert all("ADM Table" in row.note for row in suspect)


def test_notes_say_reference_labels_and_uint8_rule():
    row = next(r for r in published() if r.model == "SiT-XL/2 (ODE)" and r.metric == "FID")
    assert row.facts["ref"].startswith("ADM VIRTUAL_imagenet256_labeled")
    assert row.facts["labels"] == "random"
    assert row.facts["uint8"].startswith("round half up")
    assert row.protocol == "sit-2401.08740"
    assert {"adm-2105.05233", "repa-2410.06940"} <= set(row.protocols)
    own = next(r for r in published() if r.source == "Lyy-iiis/imeanflow README")
    assert own.protocol is None  # statistics of its own


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"dataset": "imagenet-val"}, lambda r: r.dataset == "ImageNet-val"),
        ({"dataset": "imagenet"}, lambda r: r.dataset.startswith("ImageNet")),
        ({"dataset": "lsun_churches-256"}, lambda r: r.dataset == "LSUN-Churches"),
        ({"task": "reconstruction", "metric": "rfid"}, lambda r: r.metric == "rFID"),
        ({"metric": "inception_score"}, lambda r: r.metric in ("IS", "IS_ADM-script")),
        ({"metric": "FDr6"}, lambda r: r.metric == "FDr6"),
    ],
)
def test_rows_are_chosen_by_names_in_any_spelling(given, kept):
    rows = chosen(**given)
    assert rows
    assert all(map(kept, rows))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dataset": "celebahqq"}, "did you mean 'CelebA-HQ'"),
        ({"task": "unconditionel"}, "did you mean 'unconditional'"),
        ({"metric": "fidd"}, "no published row has the metric 'fidd'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(given, said):
    with pytest.raises(InputError, match=re.escape(said)):
        chosen(**given)


def _cell(row):
    """Return the cell that measures exactly what a row does, if there can be one."""
    words = {task: word for word, task in TASKS.items()}
    if row.task != "reconstruction" and row.task not in words:
        return None
    if row.protocol is None or row.quantity is None or not row.resolution:
        return None
    return Measured(
        conditioning=words.get(row.task),
        datasets=(row.dataset,),
        resolution=int(row.resolution),
        protocol=row.protocol,
        f=int(row.f) if row.f else None,
        regularization=row.regularization.lower() or None,
    )


def test_a_row_corresponds_to_its_own_cell_and_to_none_that_differs_in_anything():
    paired = 0
    for row in published():
        cell = _cell(row)
        if cell is None:
            continue
        paired += 1
        assert corresponds(row, cell), row
        others = [
            {"datasets": ("shapes",)},
            {"resolution": 2 * cell.resolution},
            {"resolution": None},
            {"protocol": "shapes-v1"},
        ]
        if row.task == "reconstruction":
            others += [{"f": 3}, {"regularization": "tiny"}]
        else:
            others += [{"conditioning": None}]
            others += [{"conditioning": w} for w, t in TASKS.items() if t != row.task]
        for other in others:
            assert not corresponds(row, dataclasses.replace(cell, **other)), (row, other)
    assert paired > 900


def test_differences_of_protocol_are_named():
    row = next(
        r for r in published() if r.facts.get("labels") == "BALANCED 50 per class (README note)"
    )
    here = Measured(
        "class", ("imagenet",), 256, "adm-2105.05233",
        signatures={"fid": {"n": "10000", "classes": "random", "quant": "truncate"}},
    )  # fmt: skip
    assert differences(row, [here]) == (
        "labels balanced, here random",
        "n 50000, here 10000",
    )
    same = dataclasses.replace(here, signatures={"fid": {"n": "50000", "classes": "balanced"}})
    assert differences(row, [same]) == ()


def test_names_of_data_sets():
    assert dataset_of("COCO2017 val") == dataset_of("MS-COCO") == dataset_of("coco-256")
    assert dataset_of("FFHQ") != dataset_of("CelebA-HQ")


@pytest.mark.parametrize(
    ("changed", "stands"),
    [
        ("classes=balanced", True),
        ("classes=balanced,count=10000,quantize=round", True),
        ("reference_split=validation", False),
        ("classes=balanced,extractor=inception-v3-clean", False),
        ("k=5", False),
    ],
)
def test_a_changed_protocol_keeps_its_rows_where_the_change_is_named_beside_them(changed, stands):
    row = next(r for r in published() if r.table == "Table 3" and r.model == "LDM-4-G")
    cell = Measured("class", ("imagenet-256",), 256, f"ldm-2112.10752[{changed}]")
    assert corresponds(row, cell) == stands
