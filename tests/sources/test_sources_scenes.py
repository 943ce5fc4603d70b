"""Data sets with boxes and maps, and Places365: layouts, and broken ones refused."""

import numpy as np
import pytest
from containers import coded
from named_sets import SIZE, photo, write
from PIL import Image

from ldmbench.data.images import read_images
from ldmbench.errors import InputError
from ldmbench.sources.kinds import open_source

CHECK = {"resolution": 16, "crop": "center", "upscale": False}


def read(source):
    """Return the listing and the batch of all images of a source."""
    listing = source.listing()
    how = {"resolution": 16, "crop": "squash", "resize": "pil-bicubic", "shown": listing.regions}
    return listing, read_images(source, listing.files, **how)


# ---------------------------------------------------------------- openimages

HEAD = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
    "IsDepiction,IsInside"
)
ROWS = [
    ("aa", "/m/011k07", 0.25, 0.5, 0.0, 1.0, 0),
    ("aa", "/m/011q46kg", 0.5, 1.0, 0.25, 0.75, -1),
    ("aa", "/m/011k07", 0.5, 0.505, 0.5, 0.505, 0),
    ("bb", "/m/011k07", 0.0, 1.0, 0.0, 1.0, 0),
    ("cc", "/m/011k07", 0.0, 1.0, 0.0, 1.0, 0),
]


def openimages(folder, rows=ROWS):
    """Write two images of each split, one with boxes enough."""
    for split, start in (("train", "oidv6-train"), ("validation", "validation")):
        for i, name in enumerate(("aa", "bb")):
            write(folder / f"{split}/{name.rjust(16, '0')}.jpg", photo(i, SIZE, "jpg"))
        lines = [
            f"{n},xclick,{label},1,{x0},{x1},{y0},{y1},{flag},0,0,0,0"
            for n, label, x0, x1, y0, y1, flag in rows
        ]
        write(folder / f"{start}-annotations-bbox.csv", "\n".join([HEAD, *lines]) + "\n")
    write(folder / "class-descriptions-boxable.csv", "/m/011k07,Tortoise\n/m/011q46kg,Container\n")
    return folder


def test_openimages_with_boxes(tmp_path):
    source = open_source("openimages", openimages(tmp_path), {})
    listing, batch = read(source)
    names = ["train/00000000000000aa.jpg", "validation/00000000000000aa.jpg"]
    assert [file.name for file in listing.files] == names
    assert batch.box_labels.shape == (2, 30)
    assert batch.box_labels[0][:3].tolist() == [0, 1, -1]  # the third is below 1e-4
    np.testing.assert_allclose(batch.boxes[0, :2], [[0.25, 0, 0.5, 1], [0.5, 0.25, 1, 0.75]])
    assert any("flags of -1" in text for text in listing.remarks)
    assert any("1 images of train do not have 2 to 30 boxes" in text for text in listing.remarks)
    source.check(None, **CHECK)
    assert len(open_source("openimages", tmp_path, {"regions": "none"}).listing().files) == 4


def test_openimages_of_fiftyone(tmp_path):
    openimages(tmp_path / "a")
    for split in ("train", "validation"):
        (tmp_path / f"b/{split}").mkdir(parents=True)
        (tmp_path / f"a/{split}").rename(tmp_path / f"b/{split}/data")
        start = "oidv6-train" if split == "train" else split
        text = (tmp_path / f"a/{start}-annotations-bbox.csv").read_text()
        write(tmp_path / f"b/{split}/labels/detections.csv", text)
    text = (tmp_path / "a/class-descriptions-boxable.csv").read_text()
    write(tmp_path / "b/metadata/classes.csv", text)
    assert len(open_source("openimages", tmp_path / "b", {}).listing().files) == 2


OPEN = {
    "box outside": ([("aa", "/m/011k07", 0.5, 1.5, 0.0, 1.0, 0)], "lies outside of 0 to 1"),
    "xyxy": ([("aa", "/m/011k07", 0.5, 0.25, 0.0, 1.0, 0)], "columns are XMin, XMax, YMin, YMax"),
    "class": ([("aa", "/m/0", 0.0, 0.5, 0.0, 1.0, 0)], r"the class /m/0 is not in class-desc"),
    "text": ([("aa", "/m/011k07", "x", 0.5, 0.0, 1.0, 0)], "are not four numbers"),
    "none": ([("zz", "/m/011k07", 0.0, 0.5, 0.0, 1.0, 0)], "no image of train/ has 2 to 30 boxes"),
}


@pytest.mark.parametrize("case", OPEN)
def test_broken_boxes_are_refused(case, tmp_path):
    rows, message = OPEN[case]
    with pytest.raises(InputError, match=message):
        open_source("openimages", openimages(tmp_path, rows), {}).listing()


@pytest.mark.parametrize(
    "name", ["class-descriptions-boxable.csv", "validation-annotations-bbox.csv"]
)
def test_a_missing_csv_is_named(name, tmp_path):
    (openimages(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=f"{name} is not here"):
        open_source("openimages", tmp_path, {}).listing()


# ---------------------------------------------------------------- places365


def places(folder, train="data_large", val="val_large"):
    """Write the standard layout."""
    for k, name in enumerate(("/a/airfield", "/b/bar", "/a/apartment_building/outdoor")):
        write(folder / f"{train}{name}/00000001.jpg", coded(k, "jpg"))
    write(folder / f"{val}/Places365_val_00000001.jpg", coded(9, "jpg"))
    lines = "/a/airfield 0\n/b/bar 7\n/a/apartment_building/outdoor 8\n"
    write(folder / "categories_places365.txt", lines)
    write(folder / "places365_val.txt", "Places365_val_00000001.jpg 7\n")
    return folder


def test_places365_in_both_sizes(tmp_path):
    rows = []
    for name, tops in (("large", ()), ("small", ("data_256", "val_256"))):
        source = open_source("places365", places(tmp_path / name, *tops), {})
        rows.append({f.name: (f.split, f.label) for f in source.listing().files})
    assert rows[0] == rows[1]
    assert rows[0]["train/a/apartment_building/outdoor/00000001.jpg"] == ("train", 8)
    assert rows[0]["validation/Places365_val_00000001.jpg"] == ("validation", 7)
    assert "3 of the 1,803,460 train images of places365 are here" in source.listing().remarks[0]


def test_places365_easyformat_has_classes_by_folders(tmp_path):
    for split in ("train", "val"):
        for k, name in enumerate(("airfield", "bar")):
            write(tmp_path / f"{split}/{name}/1.jpg", coded(k, "jpg"))
    files = open_source("places365", tmp_path, {}).listing().files
    assert [(f.split, f.label) for f in files] == [
        ("train", 0),
        ("train", 1),
        ("validation", 0),
        ("validation", 1),
    ]


def test_broken_places_are_refused(tmp_path):
    write(places(tmp_path) / "places365_val.txt", "Places365_val_00000001.jpg\n")
    with pytest.raises(InputError, match="each line is an image and its class"):
        open_source("places365", tmp_path, {}).listing()
    places(tmp_path / "b")
    places(tmp_path / "b", "data_256")
    with pytest.raises(InputError, match="images of two sizes lie there"):
        open_source("places365", tmp_path / "b", {}).listing()


# ---------------------------------------------------------------- maps


def a_map(file, values):
    """Write a map of the size of the photographs, in two halves."""
    ids = np.full(SIZE[::-1], values[0], np.uint8)
    ids[:, 24:] = values[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(file)


def ade20k(folder):
    """Write ADEChallengeData2016."""
    for split, word in (("training", "train"), ("validation", "val")):
        for i in (1, 2):
            name = f"ADE_{word}_{i:08d}"
            write(folder / f"images/{split}/{name}.jpg", photo(i, SIZE, "jpg"))
            a_map(folder / f"annotations/{split}/{name}.png", (0, 150))
    lines = [f"ADE_{w}_{i:08d} {s}" for w in ("train", "val") for i, s in ((1, "pub"), (2, "bar"))]
    write(folder / "sceneCategories.txt", "\n".join(lines))
    return folder


def test_ade20k_with_maps_and_scenes(tmp_path):
    source = open_source("ade20k", ade20k(tmp_path / "ADEChallengeData2016"), {})
    listing, batch = read(source)
    assert [(f.split, f.label) for f in listing.files] == [
        ("train", 1),
        ("train", 0),
        ("validation", 1),
        ("validation", 0),
    ]
    assert np.unique(batch.masks).tolist() == [0, 150]
    assert np.flatnonzero(batch.box_labels[0] >= 0).tolist() == [149]
    np.testing.assert_allclose(batch.boxes[0, 149], [0.5, 0, 1, 1])
    source.check(None, **CHECK)
    above = open_source("ade20k", tmp_path, {}).listing()
    assert [f.name for f in above.files] == [f.name for f in listing.files]


def test_values_that_are_no_class_are_refused(tmp_path):
    source = open_source("ade20k", ade20k(tmp_path), {})
    a_map(tmp_path / "annotations/training/ADE_train_00000001.png", (0, 151))
    with pytest.raises(InputError, match=r"00000001\.png: has the value 151, and there are 150"):
        read(source)


def test_images_without_a_map_are_refused(tmp_path):
    ade20k(tmp_path)
    (tmp_path / "annotations/training/ADE_train_00000002.png").unlink()
    with pytest.raises(InputError, match="1 images have no map, such as images/training"):
        open_source("ade20k", tmp_path, {}).listing()


@pytest.mark.parametrize("beside", [True, False])
def test_landscapes_with_maps_beside_images_or_in_a_folder(beside, tmp_path):
    for i in range(4):
        at = f"flickr/{i}" if beside else f"images/{i}"
        write(tmp_path / f"{at}.jpg", photo(i, SIZE, "jpg"))
        a_map(tmp_path / f"{at if beside else f'segmentations/{i}'}.png", (181, 255))
    top = "flickr" if beside else "images"
    write(tmp_path / "sflckr_train.txt", "".join(f"{top}/{i}.jpg\n" for i in (0, 1)))
    write(tmp_path / "sflckr_val.txt", f"{top}/2.jpg\n")
    source = open_source("landscapes", tmp_path, {})
    listing, batch = read(source)
    assert [f.split for f in listing.files] == ["train", "train", "validation"]
    assert np.unique(batch.masks).tolist() == [0, 182]
    source.check(None, **CHECK)


def test_landscapes_without_lists_have_folders(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / f"{split}/a.jpg", photo(0, SIZE, "jpg"))
        a_map(tmp_path / f"{split}/a.png", (1, 2))
    files = open_source("landscapes", tmp_path, {}).listing().files
    assert [f.split for f in files] == ["train", "validation"]
    (tmp_path / "val/a.png").unlink()
    with pytest.raises(InputError, match="1 images have no map"):
        open_source("landscapes", tmp_path, {}).listing()
