"""Folders, zips and npz files: listing, digests, splits, captions, and every bad picture."""

import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from ldmbench.data.images import read_images
from ldmbench.errors import InputError
from ldmbench.sources.digests import source_digest
from ldmbench.sources.images.captions import read_captions
from ldmbench.sources.images.inspection import inspect_images
from ldmbench.sources.images.listing import list_images
from ldmbench.sources.images.planned import planned_images
from ldmbench.sources.images.splits import shard_images, split_images
from ldmbench.sources.kinds.folder import FolderSource

HOW = {"resolution": 16, "crop": "center", "resize": "pil-bicubic"}


def _read(files, **how):
    return read_images(FolderSource(files[0].source), files, **how)


def _planned(path, planned, cache=None):
    return planned_images(FolderSource(path), planned, cache)


def _pixels(seed=0, size=(24, 24)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def _save(path, seed=0, size=(24, 24), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_pixels(seed, size)).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for i, name in enumerate(("cat/b.png", "cat/a.PNG", "dog/deep/c.bmp", "dog/d.webp")):
        _save(root / name, i, **({"lossless": True} if name.endswith("webp") else {}))
    _save(root / "ant/e.jpg", 4, quality=95)
    (root / ".hidden").mkdir()
    (root / ".hidden/x.png").write_bytes(b"")
    (root / "notes.md").write_text("not an image")
    return root


def _zip(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def test_listing_is_sorted_with_labels_from_folders(folder):
    files = list_images(folder)
    assert [f.name for f in files] == [
        "ant/e.jpg",
        "cat/a.PNG",
        "cat/b.png",
        "dog/d.webp",
        "dog/deep/c.bmp",
    ]
    assert [f.label for f in files] == [0, 1, 1, 2, 2]
    assert read_captions(files) is None


def test_lossless_files_come_back_exactly_and_a_zip_is_its_folder(folder, tmp_path):
    packed = list_images(_zip(folder, tmp_path / "set.zip"))
    batch = _read(list_images(folder), resolution=24, crop="none", resize="area")
    for row, seed in ((1, 1), (2, 0), (3, 3), (4, 2)):
        assert np.array_equal(batch.images[row], _pixels(seed))
    again = _read(packed, resolution=24, crop="none", resize="area")
    assert np.array_equal(batch.images, again.images)
    assert batch.labels.tolist() == again.labels.tolist() == [0, 1, 1, 2, 2]
    assert batch.boxes is None
    assert batch.captions == ("",) * 5
    assert source_digest(folder) == source_digest(tmp_path / "set.zip")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    images = np.stack([_pixels(i) for i in range(7)])
    save(tmp_path / "a.npz", images, np.arange(7) % 3)
    files = list_images(tmp_path / "a.npz")
    assert [f.label for f in files] == [0, 1, 2, 0, 1, 2, 0]
    batch = _read(files[::-2], resolution=24, crop="none", resize="area")
    assert np.array_equal(batch.images, images[::-2])
    assert batch.labels.tolist() == [0, 1, 2, 0]
    assert len(source_digest(tmp_path / "a.npz")) == 64
    save(tmp_path / "b.npz", images)
    assert {f.label for f in list_images(tmp_path / "b.npz")} == {0}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.zeros((2, 8, 8, 3))], "uint8"),
        ([np.zeros((2, 3, 8, 8), np.uint8)], "uint8"),
        ([np.zeros((2, 8, 8, 3), np.uint8), np.zeros(3, int)], "one integer for each of the 2"),
        ([np.zeros((2, 8, 8, 3), np.uint8), np.array([None, 1], object)], "arr_1 is object"),
    ],
)
def test_bad_npz_is_named(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", *arrays)
    with pytest.raises(InputError, match=rf"bad\.npz.*{message}"):
        list_images(tmp_path / "bad.npz")


def test_npz_that_is_no_npz(tmp_path):
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no\.npz: not an npz"):
        list_images(tmp_path / "no.npz")
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    with pytest.raises(InputError, match="arr_0"):
        list_images(tmp_path / "other.npz")


def test_captions_beside_images_and_in_one_file(folder, tmp_path):
    (folder / "cat/b.txt").write_text("a cat,\n asleep \n")
    rows = [{"file": "ant/e.jpg", "text": "an ant"}, {"file": "cat/b.png", "text": "overruled"}]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    expected = ("an ant", "", "a cat, asleep", "", "")
    for source in (folder, _zip(folder, tmp_path / "set.zip")):
        files = list_images(source)
        assert read_captions(files) == expected
        assert _read(files, **HOW).captions == expected


@pytest.mark.parametrize("line", ["{", '{"file": "cat/b.png"}', "[1]", "3"])
def test_bad_captions_name_the_line(folder, line):
    (folder / "captions.jsonl").write_text('{"file": "cat/b.png", "text": "ok"}\n' + line)
    with pytest.raises(InputError, match=r"captions\.jsonl:2: not a caption"):
        list_images(folder)


def test_captions_that_are_not_utf8(folder):
    (folder / "cat/b.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"cat/b\.txt: not UTF-8"):
        read_captions(list_images(folder))


@pytest.fixture
def many(tmp_path):
    for i in range(20):
        _save(tmp_path / f"many/{i:02d}.png", i, (4, 4))
    return tmp_path / "many"


def test_drawn_splits_are_disjoint_stable_and_complete(many):
    files = list_images(many)
    parts = {
        s: split_images(files, s, reference=5, validation=3)
        for s in ("train", "validation", "reference")
    }
    assert {s: len(p) for s, p in parts.items()} == {"train": 12, "validation": 3, "reference": 5}
    assert sorted(f.name for p in parts.values() for f in p) == [f.name for f in files]
    for part in parts.values():
        assert [f.name for f in part] == sorted(f.name for f in part)
    shuffled = split_images(files[::-1], "reference", reference=5, validation=3)
    assert shuffled == parts["reference"]
    assert set(split_images(files, "reference", reference=4, validation=3)) < set(shuffled)


def test_split_folders_win(many):
    for i in range(4):
        _save(many / f"reference/cat/{i}.png", i)
        _save(many / f"train/dog/{i}.png", i)
    files = list_images(many)
    assert {f.name[:9] for f in split_images(files, "reference", reference=2, validation=1)} == {
        "reference"
    }
    train = split_images(files, "train", reference=2, validation=1)
    validation = split_images(files, "validation", reference=2, validation=1)
    assert (len(train), len(validation)) == (3, 1)
    assert {f.name[:6] for f in train + validation} == {"train/"}
    labels = {f.name: f.label for f in files}
    assert (labels["train/dog/0.png"], labels["00.png"]) == (0, -1)


def test_bad_splits(many):
    files = list_images(many)
    with pytest.raises(InputError, match="20 images cannot give 18"):
        split_images(files, "train", reference=18, validation=2)
    with pytest.raises(InputError, match="cannot give -1"):
        split_images(files, "train", reference=-1, validation=2)
    with pytest.raises(InputError, match="did you mean 'validation'"):
        split_images(files, "validaton", reference=1, validation=2)


def test_digest_follows_names_and_contents_only(folder, tmp_path):
    before = source_digest(folder)
    folder.rename(tmp_path / "elsewhere")
    assert source_digest(tmp_path / "elsewhere") == before
    (tmp_path / "elsewhere/notes.md").write_text("still no image")
    assert source_digest(tmp_path / "elsewhere") == before
    (tmp_path / "elsewhere/cat/b.txt").write_text("a cat")
    captioned = source_digest(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/cat/b.png").rename(tmp_path / "elsewhere/cat/c.png")
    assert len({before, captioned, source_digest(tmp_path / "elsewhere")}) == 3


@pytest.fixture
def settled(monkeypatch):
    """Remember files at once, though they have just been written."""
    monkeypatch.setattr("ldmbench.sources.remembered._SETTLED_NS", -1)


@pytest.mark.usefixtures("settled")
def test_digest_cache_is_used_and_noticed_to_be_old(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache/digests.json"
    first = source_digest(folder, cache)
    assert len(json.loads(cache.read_text())) == 5
    monkeypatch.setattr("ldmbench.sources.digests.digest_file", lambda p: pytest.fail(str(p)))
    assert source_digest(folder, cache) == first


def _written_over(folder):
    """Give b.png other bytes of the same number, and its old time."""
    file = folder / "cat/b.png"
    at, data = file.stat(), bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(at.st_atime_ns, at.st_mtime_ns))


def _moved_in(folder):
    """Put another file of the same size and time at b.png, as `cp -p` and archives do."""
    file, other = folder / "cat/b.png", folder / "other"
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    other.write_bytes(data)
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", [_written_over, _moved_in])
def test_other_contents_of_equal_size_and_time_have_another_digest(folder, tmp_path, change):
    cache = tmp_path / "digests.json"
    first = source_digest(folder, cache)
    planned = _planned(folder, first, cache)
    change(folder)
    assert source_digest(folder, cache) == source_digest(folder) != first
    with pytest.raises(InputError, match="has changed since"):
        planned.check(planned.files)


@pytest.mark.usefixtures("settled")
def test_a_link_is_known_by_what_it_points_to(folder, tmp_path):
    """Versions of a set lie side by side, files of equal sizes and times; a link is switched."""
    shutil.copytree(folder, tmp_path / "v2")
    _written_over(tmp_path / "v2")
    cache = tmp_path / "digests.json"
    for number, target in enumerate((folder, tmp_path / "v2")):
        swap = tmp_path / f"swap{number}"
        swap.symlink_to(target)
        swap.replace(tmp_path / "now")
        assert source_digest(tmp_path / "now", cache) == source_digest(target)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 1}', '{"a": ["x", 2, {}]}', "\0"])
def test_a_damaged_cache_is_made_anew(folder, tmp_path, damage):
    (tmp_path / "cache.json").write_text(damage)
    assert source_digest(folder, tmp_path / "cache.json") == source_digest(folder)


def test_a_zip_is_opened_once_and_every_bad_picture_in_it_named(folder, tmp_path, monkeypatch):
    bad = folder / "bad.png"
    bad.write_bytes(b"no picture")
    packed, opened, real = _zip(folder, tmp_path / "set.zip"), [], zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a: opened.append(a) or real(*a))
    found = inspect_images(packed)
    assert len(found.problems) == 1
    assert "bad.png" in found.problems[0]
    assert len(found.digests) == len(found.names) - 1
    assert len(opened) <= 4  # names, other names, captions, contents


@pytest.mark.usefixtures("settled")
def test_zip_digest_is_cached(folder, tmp_path, monkeypatch):
    packed = _zip(folder, tmp_path / "set.zip")
    first = source_digest(packed, tmp_path / "cache.json")
    monkeypatch.setattr("ldmbench.sources.digests.digest_bytes", lambda d: pytest.fail("read"))
    assert source_digest(packed, tmp_path / "cache.json") == first


def test_fresh_files_are_not_remembered(folder, tmp_path):
    source_digest(folder, tmp_path / "cache.json")
    assert not (tmp_path / "cache.json").exists()


@pytest.mark.parametrize(
    ("mode", "pixel"), [("L", 100), ("1", 1), ("LA", (100, 7)), ("RGBA", (10, 20, 30, 0))]
)
def test_grey_and_transparent_pictures_are_converted(tmp_path, mode, pixel):
    Image.new(mode, (16, 16), pixel).save(tmp_path / "a.png")
    image = _read(list_images(tmp_path), **HOW).images[0]
    expected = {"L": (100,) * 3, "1": (255,) * 3, "LA": (100,) * 3, "RGBA": (10, 20, 30)}[mode]
    assert (image == expected).all()


def test_palettes_are_looked_up(tmp_path):
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([0, 0, 0, 9, 8, 7])
    picture.save(tmp_path / "a.png", transparency=bytes([255, 0]))
    assert (_read(list_images(tmp_path), **HOW).images[0] == (9, 8, 7)).all()


def _png16():
    """A 16-bit RGB PNG, which Pillow opens as if it had 8."""
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + b"\x12\x34" * 3 * 16) * 16
    head = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _bytes(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def _bad():
    good = Image.fromarray(_pixels(0, (64, 64)))
    frames = [Image.fromarray(_pixels(i)) for i in range(3)]
    animated = {"save_all": True, "append_images": frames[1:]}
    return {
        "zero.png": (b"", "the file is empty"),
        "text.jpg": (b"hello", "not a readable"),
        "cut.png": (_bytes(good, "PNG")[:5000], "not a readable"),
        "cut.jpg": (_bytes(good, "JPEG")[:1500], "not a readable"),
        "cut.webp": (_bytes(good, "WEBP", lossless=True)[:900], "not a readable"),
        "cut.bmp": (_bytes(good, "BMP")[:900], "not a readable"),
        "head.png": (_bytes(good, "PNG")[:20], "not a readable"),
        "gif.png": (_bytes(good, "GIF"), "not a readable"),
        "tiff.png": (_bytes(good, "TIFF"), "not a readable"),
        "deep.png": (_bytes(Image.new("I;16", (16, 16)), "PNG"), "16 bits per channel"),
        "deeprgb.png": (_png16(), "16 bits per channel"),
        "cmyk.jpg": (_bytes(Image.new("CMYK", (16, 16)), "JPEG"), "CMYK"),
        "moving.png": (_bytes(frames[0], "PNG", **animated), "animated"),
        "moving.webp": (_bytes(frames[0], "WEBP", **animated), "animated"),
        "small.png": (_bytes(Image.new("RGB", (15, 40)), "PNG"), "15 x 40 pixels, smaller"),
    }


@pytest.mark.parametrize("name", _bad())
def test_bad_pictures_are_named(tmp_path, name):
    data, message = _bad()[name]
    _save(tmp_path / "set/a.png")
    (tmp_path / "set" / name).write_bytes(data)
    for source in (tmp_path / "set", _zip(tmp_path / "set", tmp_path / "set.zip")):
        with pytest.raises(InputError) as caught:
            _read(list_images(source), **HOW)
        assert str(caught.value).startswith(f"{source}/{name}: ")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_small_pictures_may_be_enlarged(tmp_path):
    _save(tmp_path / "a.png", 0, (8, 8))
    assert _read(list_images(tmp_path), **HOW, upscale=True).images.shape == (1, 16, 16, 3)


def test_missing_empty_and_foreign_sources(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image in it"):
        list_images(tmp_path / "empty")
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        list_images(tmp_path / "x.zip")


def test_a_file_that_vanished_and_a_damaged_zip(folder, tmp_path):
    files = list_images(folder)
    (folder / "cat/b.png").unlink()
    with pytest.raises(InputError, match=r"cat/b\.png: cannot be read"):
        _read(files, **HOW)
    packed = _zip(folder, tmp_path / "set.zip")
    data = bytearray(packed.read_bytes())
    data[200:900] = bytes(700)
    packed.write_bytes(data)
    with pytest.raises(InputError, match=r"set\.zip/.*: cannot be read"):
        _read(list_images(packed), **HOW)


def test_unknown_resizer_is_not_the_files_fault(folder):
    with pytest.raises(InputError, match=r"^unknown resize 'bicubic'"):
        _read(list_images(folder), resolution=16, crop="center", resize="bicubic")


def _add(folder):
    _save(folder / "cat/new.png", 9)


def _remove(folder):
    (folder / "cat/b.png").unlink()


def _replace(folder):
    _save(folder / "cat/b.png", 9)


def _describe(folder):
    (folder / "cat/b.txt").write_text("a cat")


@pytest.mark.parametrize("change", [_add, _remove, _replace, _describe])
def test_a_source_that_changed_since_it_was_planned_is_refused(folder, change):
    planned = source_digest(folder)
    change(folder)
    said = f"^{folder} has changed since the run was planned; run again$"
    with pytest.raises(InputError, match=said):
        _planned(folder, planned)
    with pytest.raises(InputError, match=said):
        _planned(folder, planned)
    assert _planned(folder, source_digest(folder)).files == list_images(folder)


def test_what_changes_after_a_source_was_listed_shifts_nothing(folder):
    digest = source_digest(folder)
    before = _planned(folder, digest)
    before.check(before.files)
    _add(folder)
    again = _planned(folder, digest)  # a worker goes on with what was planned
    assert again.files == before.files
    again.check(again.files)
    _replace(folder)
    again.check([f for f in again.files if f.name != "cat/b.png"])
    with pytest.raises(InputError, match="has changed since"):
        again.check(again.files)
    _remove(folder)
    with pytest.raises(InputError, match="has changed since"):
        again.check(again.files)


def test_a_zip_that_changes_is_noticed(folder, tmp_path):
    packed = _zip(folder, tmp_path / "set.zip")
    planned = _planned(packed, source_digest(folder))
    planned.check(planned.files[:1])
    _add(folder)
    _zip(folder, packed)
    with pytest.raises(InputError, match=r"set\.zip has changed since"):
        planned.check(planned.files[:1])


@pytest.mark.usefixtures("settled")
def test_contents_that_the_plan_has_read_are_not_read_again(folder, tmp_path, monkeypatch):
    digest = source_digest(folder, tmp_path / "digests.json")
    monkeypatch.setattr("ldmbench.sources.digests.digest_file", lambda p: pytest.fail(str(p)))
    assert _planned(folder, digest, tmp_path / "digests.json").files == list_images(folder)


def test_a_part_of_a_split_is_of_all_classes_and_prompts_repeat_it(tmp_path):
    for c in "abcdefghij":
        for i in range(12):
            _save(tmp_path / f"set/{c}/{i:02d}.png", i, (4, 4))
    files, kept = list_images(tmp_path / "set"), {"reference": 20, "validation": 40}
    shards = [
        shard_images(files, "prompts", span, mixed=True, **kept)
        for span in ((0, 20), (20, 40), (40, 60))
    ]
    assert len({f.label for f in shards[0]}) > 7
    assert shards[2] == shards[0]
    whole = {split: set(split_images(files, split, **kept)) for split in ("validation", "train")}
    assert set(shards[0] + shards[1]) == whole["validation"]
    assert not whole["validation"] & whole["train"]
    assert shard_images(files, "truth", (20, 40), mixed=True, **kept) == shards[1]
    by_name = shard_images(files, "validation", (0, 20), mixed=False, **kept)
    assert [f.name for f in by_name] == sorted(f.name for f in by_name)
    assert len(shard_images(files, "validation", (32, 64), mixed=True, **kept)) == 8
    none = list_images(tmp_path / "set")[:5]
    with pytest.raises(InputError, match="no validation image to take prompts from"):
        shard_images(none, "prompts", (0, 4), mixed=True, reference=0, validation=0)
