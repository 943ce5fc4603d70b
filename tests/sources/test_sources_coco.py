"""Captions of MS-COCO by the rules of others: Karpathy's split, MLPerf's list, tables."""

import json
import re

import named_sets as sets
import pandas as pd
import pytest
from named_sets import write
from pydantic import ValidationError

from ldmbench.errors import InputError
from ldmbench.schema.data import CocoData
from ldmbench.sources.kinds import coco_captions, open_source


def listed(path, **options):
    return open_source("coco", path, options).listing()


def karpathy(folder, rows):
    """Write dataset_coco.json: split, folder and id of each image."""
    images = [
        {"filepath": word, "filename": f"COCO_{word}_{i:012d}.jpg", "cocoid": i, "split": split,
         "sentences": [{"raw": f"{split} {i}\n{k} ", "tokens": []} for k in (1, 2)]}
        for split, word, i in rows
    ]  # fmt: skip
    write(folder / "dataset_coco.json", json.dumps({"images": images, "dataset": "coco"}))


KARPATHY = [
    ("train", "train2014", 139), ("train", "train2014", 285), ("restval", "val2014", 139),
    ("val", "val2014", 285), ("test", "val2014", 632), ("test", "val2014", 724),
    ("val", "val2014", 999),
]  # fmt: skip


def test_karpathys_split(tmp_path):
    karpathy(sets.coco(tmp_path, 2014), KARPATHY)
    found = listed(tmp_path, year=2014, split="karpathy")
    splits = {f.at: (f.split, f.caption) for f in found.files}
    assert splits["train2014/COCO_train2014_000000000285.jpg"] == ("train", "train 285 1")
    assert splits["val2014/COCO_val2014_000000000139.jpg"] == ("train", "restval 139 1")
    assert splits["val2014/COCO_val2014_000000000285.jpg"] == ("validation", "val 285 1")
    assert splits["val2014/COCO_val2014_000000000724.jpg"] == ("test", "test 724 1")
    assert len(splits) == 6  # 999 is not there, and two of train2014 are not listed
    said = " ".join(found.remarks)
    assert "dataset_coco.json has 1 images of restval, and Karpathy's has 30,504" in said
    assert "3 of the 113,287 train images of coco are here" in said
    assert "1 of the 5,000 validation images of coco are here" in said
    tested = listed(tmp_path, year=2014, split="karpathy-test", caption="drawn")
    assert [f.caption[:8] for f in tested.files if f.split == "validation"] == [
        "test 632",
        "test 724",
    ]
    assert {f.caption[-1] for f in tested.files} == {"1", "2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no dataset_coco.json in it or in annotations/"),
        ("{}", "not Karpathy's dataset_coco.json (KeyError: 'images')"),
        ("[", "not Karpathy's dataset_coco.json (JSONDecodeError"),
        ([("held", "val2014", 139)], "an image is of split held; allowed: train, restval, val"),
        ([("val", "val2014", 5)], "none of the 1 images of dataset_coco.json is here"),
    ],
)
def test_broken_files_of_karpathys_split_are_refused(text, said, tmp_path):
    sets.coco(tmp_path, 2014)
    if isinstance(text, list):
        karpathy(tmp_path, text)
    elif text:
        write(tmp_path / "dataset_coco.json", text)
    with pytest.raises(InputError, match=re.escape(said)):
        listed(tmp_path, year=2014, split="karpathy")


def mlperf_of(rows, most):
    """Return id -> caption as MLPerf's script has them, through pandas."""
    frame = pd.DataFrame(rows).sample(frac=1, random_state=2023)
    return dict(frame.drop_duplicates("image_id")[["image_id", "caption"]][:most].to_numpy())


def test_captions_as_mlperf_draws_them(tmp_path, monkeypatch):
    sets.coco(tmp_path, 2014)
    place = tmp_path / "annotations/captions_val2014.json"
    told = json.loads(place.read_text())
    found = listed(tmp_path, year=2014, caption="mlperf")
    captions = {f.at[-7:-4]: f.caption for f in found.files if f.split == "validation"}
    drawn = mlperf_of(told["annotations"], 30_000)
    assert captions == {str(i): text.replace("\n", "").strip() for i, text in drawn.items()}
    assert all(f.caption.endswith("caption 1") for f in found.files if f.split == "train")
    assert any("has 8 captions, and COCO's has 202,654" in text for text in found.remarks)
    assert any("4 of the 30,000 validation images" in text for text in found.remarks)
    monkeypatch.setattr(coco_captions, "MLPERF", 2)
    monkeypatch.setattr(coco_captions, "_CAPTIONS", 8)
    found = listed(tmp_path, year=2014, caption="mlperf")
    kept = {int(f.at[-7:-4]) for f in found.files if f.split == "validation"}
    assert kept == {*mlperf_of(told["annotations"], 2)}
    assert not any("COCO's has" in text for text in found.remarks)
    place.unlink()
    with pytest.raises(InputError, match=r"captions_val2014\.json or val2014/ is not here"):
        listed(tmp_path, year=2014, caption="mlperf")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "image_id\tid\tcaption\n139\t7\ta  dog, old\n632\t8\ta cat\n"),
        ("a.csv", 'file_name,text\nCOCO_val2014_000000000139.jpg,"a dog, old"\n632.jpg,a cat\n'),
    ],
)
def test_captions_of_a_table(name, text, tmp_path):
    for year in (2014, 2017):
        sets.coco(tmp_path / str(year), year)
        write(tmp_path / str(year) / name, text)
        found = listed(tmp_path / str(year), year=year, captions=name)
        held = [f.caption for f in found.files if f.split == "validation"]
        assert held == ["a dog, old", "a cat"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,caption\n139,a\n", "found columns image, caption; needed: image_id or file_name"),
        ("image_id,caption\n139,a\n139,b\n", "a.csv:3: image 139 is there twice"),
        ("image_id,caption\ncat,a\n", "a.csv:2: 'cat' is no id of an image of COCO"),
        ("image_id,caption\n139\n", "a.csv:2: no caption in this row"),
        ("image_id,caption\n", "a.csv: lists no image"),
        ("image_id,caption\n5,a\n", "none of the 1 images of a.csv is here, such as 5"),
    ],
)
def test_broken_tables_of_captions_are_refused(text, said, tmp_path):
    sets.coco(tmp_path)
    write(tmp_path / "a.csv", text)
    with pytest.raises(InputError, match=re.escape(said)):
        listed(tmp_path, captions="a.csv")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"split": "karpathy"}, "found split: karpathy, whose images are of 2014"),
        ({"caption": "mlperf"}, "found caption: mlperf, whose images are of 2014"),
        (
            {"split": "karpathy", "year": 2014, "caption": "mlperf", "ids": "a.txt"},
            "found split: karpathy and caption: mlperf and ids: a.txt, each of which says which",
        ),
        (
            {"split": "karpathy-test", "year": 2014, "regions": "map"},
            "found regions: map beside split: karpathy-test",
        ),
    ],
)
def test_rules_of_coco_that_do_not_go_together(fields, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        CocoData(kind="coco", path="coco", **fields)
