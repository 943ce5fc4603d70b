from __future__ import annotations

import pytest
from fake_records import fake

from ldmbench.report import render
from ldmbench.report.published import CAUTION, beside
from ldmbench.schema.record import Extras

INCEPTION = ("inception-v3-compat@11112222",)


def _under(records, protocol):
    return [
        r.model_copy(
            update={"scores": tuple(s.model_copy(update={"protocol": protocol}) for s in r.scores)}
        )
        for r in records
    ]


@pytest.fixture
def celeba(tmp_path):
    run, records, _ = fake(
        tmp_path, datasets=("celebahq-256",), downsampling=(1, 4), steps=(10, 50), pictures=False,
        protocols=INCEPTION,
    )  # fmt: skip
    return run, _under(records, "ldm-2112.10752")


def test_rows_stand_beside_measured_ones_of_the_same_dataset_and_protocol(celeba):
    _, records = celeba
    (one,) = beside(records, Extras())
    assert (one.dataset, one.protocol) == ("celebahq-256", "ldm-2112.10752")
    mine = [line for line in one.lines if line.measured]
    theirs = [line for line in one.lines if not line.measured]
    assert {line.how for line in mine} == {"ddim, 50 steps"}
    assert all(line.cell for line in mine)
    assert any(line.model.startswith("LDM-4") for line in theirs)
    assert {line.how.partition(",")[0] for line in theirs} == {"unconditional"}
    assert all("arXiv" in line.source or "README" in line.source for line in theirs)
    assert all(len(line.values) == len(one.headings) for line in one.lines)


def test_they_are_left_out_when_dataset_protocol_size_or_evaluator_differ(celeba, tmp_path):
    _, records = celeba
    assert beside(_under(records, "clean-fid"), Extras()) == ()
    _, shapes, _ = fake(tmp_path / "shapes", pictures=False)
    assert beside(_under(shapes, "ldm-2112.10752"), Extras()) == ()
    _, small, extras = fake(
        tmp_path / "small", datasets=("celebahq",), downsampling=(4,), protocols=INCEPTION
    )
    assert beside(_under(small, "ldm-2112.10752"), extras) == ()  # its images have 32 pixels


def test_page_and_markdown_label_them_and_mark_no_best_among_them(celeba, tmp_path):
    run, records = celeba
    page = render(run, records, Extras(), folder=tmp_path, format="html")
    part = page[page.index('id="published"') : page.index('id="figures"')]
    assert CAUTION in part
    assert "★" not in part
    (one,) = beside(records, Extras())
    theirs = sum(not line.measured for line in one.lines)
    assert part.count(">published</span>") == theirs
    text = render(run, records, Extras(), folder=tmp_path, format="markdown")
    assert "## Published numbers" in text
    assert text.count("| published |") == theirs


def test_a_row_beside_cells_says_where_its_protocol_differs_and_whether_it_is_suspect(tmp_path):
    run, records, _ = fake(
        tmp_path, datasets=("imagenet",), downsampling=(4,), pictures=False, protocols=INCEPTION
    )
    records = [
        r.model_copy(
            update={"cell": r.cell.model_copy(update={"conditioning": "class", "resolution": 256})}
        )
        for r in records
    ]
    adm = beside(_under(records, "adm-2105.05233"), Extras())[0]
    repa = next(line for line in adm.lines if line.model == "SiT-XL/2 + REPA (800 ep)")
    assert "n 50000, here 512" in repa.differs
    assert not any(line.suspect for line in adm.lines)
    page = render(
        run, _under(records, "ldm-2112.10752"), Extras(), folder=tmp_path, format="markdown"
    )
    assert "| published, suspect | ADM-G, ADM-U" in page
    assert "protocol differs: n 50000, here 512" in page
