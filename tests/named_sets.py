"""Small data sets in exactly the layouts in which published ones lie on disk."""

import json
import pickle

import numpy as np
from containers import coded, lmdb, picture
from PIL import Image

SYNSETS = ("n01440764", "n02086240", "n15075141")
"""Three of ImageNet: the first, class 155, the last."""


def write(file, data):
    """Write bytes or text, making its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def photo(i, size, suffix="png"):
    """Return the bytes of a picture of width and height."""
    import io

    pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {"jpg": "jpeg"}.get(suffix, suffix))
    return file.getvalue()


def imagenet_train(folder, each=4):
    """Write train/WNID/WNID_1.JPEG."""
    for k, synset in enumerate(SYNSETS):
        for i in range(each):
            write(folder / synset / f"{synset}_{i}.JPEG", coded(10 * k + i, "jpg"))


def imagenet_val(folder, count=3):
    """Write a flat validation split."""
    for i in range(1, count + 1):
        write(folder / f"ILSVRC2012_val_{i:08d}.JPEG", coded(100 + i, "jpg"))


def devkit(folder):
    """Write the devkit's truth, whose ids are not in the order of WordNet ids, and meta.mat."""
    from scipy.io import savemat

    rows = np.zeros(
        (4, 1),
        dtype=[(n, object) for n in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")],
    )
    for row, (number, name, children) in enumerate(
        [(1, SYNSETS[2], 0), (2, SYNSETS[0], 0), (3, SYNSETS[1], 0), (1001, "n00001740", 2)]
    ):
        rows[row, 0] = (number, name, "", "", children)
    write(folder / "data/ILSVRC2012_validation_ground_truth.txt", "1\n2\n3\n")
    savemat(folder / "data/meta.mat", {"synsets": rows})


def celebahq(folder, count=10):
    """Write CompVis's npy files and taming's lists."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        np.save(folder / f"imgHQ{i:05d}.npy", picture(i).transpose(2, 0, 1)[None])
    names = [f"imgHQ{i:05d}.npy" for i in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)][:count]
    write(folder / "celebahqtrain.txt", "\n".join(names[:8]))
    write(folder / "celebahqvalidation.txt", "\n".join(names[8:]))
    return folder


def ffhq(folder, numbers=(0, 1, 999, 1000, 59_999, 60_000, 69_999)):
    """Write FFHQ by thousands."""
    for i in numbers:
        write(folder / f"images1024x1024/{i // 1000 * 1000:05d}/{i:05d}.png", coded(i))
    return folder


def lsun(folder, count=10, category="church_outdoor"):
    """Write the lmdb folders of a category."""
    lmdb(folder / f"{category}_train_lmdb", count)
    lmdb(folder / f"{category}_val_lmdb", 2)
    return folder


def lsun_exported(folder, count=10):
    """Write what LSUN's data.py exports: folders by the first six digits."""
    for i in range(count):
        key = f"{i:040x}"
        write(folder.joinpath(*key[:6]) / f"{key}.webp", coded(i, "webp"))
    return folder


def compvis_lists(folder, count=10, category="church_outdoor"):
    """Write CompVis's lists: the last three are held out."""
    keys = [f"{i:040x}.webp" for i in range(count)]
    write(folder / f"{category}_train.txt", "\n".join(keys[:-3]) + "\n")
    write(folder / f"{category}_val.txt", "\n".join(keys[-3:]) + "\n")


def cifar10(folder, each=4):
    """Write the batches of CIFAR-10's authors, small."""
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        rows = [picture(10 * number + i, 32).transpose(2, 0, 1).reshape(-1) for i in range(each)]
        batch = {
            "batch_label": name,
            "labels": [i % 10 for i in range(each)],
            "data": np.stack(rows),
        }
        write(folder / f"cifar-10-batches-py/{name}", pickle.dumps(batch, protocol=2))
    return folder


def small_imagenet(folder, each=4, *, side=32, npz=False):
    """Write batches of downsampled ImageNet, small: two of training and the validation images."""
    for number, name in enumerate(("train_data_batch_1", "train_data_batch_2", "val_data")):
        rows = [picture(10 * number + i, side).transpose(2, 0, 1).reshape(-1) for i in range(each)]
        batch = {"data": np.stack(rows), "labels": [1 + 333 * i for i in range(each)]}
        if npz:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(folder / f"{name}.npz", mean=np.zeros(1), **batch)
        else:
            write(folder / name, pickle.dumps({**batch, "mean": np.zeros(3)}, protocol=2))
    return folder


BOXES = {
    139: [(10, 10, 20, 20, 1, 0), (0, 0, 40, 30, 44, 0), (5, 5, 1, 1, 3, 0)],
    285: [(0, 0, 48, 32, 1, 0), (4, 4, 10, 10, 90, 1), (20, 5, 10, 0, 1, 0)],
    632: [(1, 1, 8, 8, 1, 0), (10, 10, 8, 8, 3, 0), (20, 20, 8, 8, 44, 0)],
    724: [],
}
"""Image id -> boxes of things: x, y, width, height, category, crowd."""
STUFF = {
    139: [(0, 0, 48, 32, 92, 0), (0, 0, 48, 32, 183, 0)],
    285: [(0, 16, 48, 16, 125, 0)],
    632: [(0, 0, 48, 32, 92, 0)],
    724: [(0, 0, 48, 32, 92, 0)],
}
THINGS = {1: "person", 3: "car", 44: "bottle", 90: "toothbrush"}
STUFFS = {92: "banner", 125: "gravel", 183: "other"}
SIZE = (48, 32)


def coco(folder, year=2017, splits=("train", "val")):
    """Write COCO: images of 48 x 32, captions, instances, stuff and maps."""
    for word in splits:
        start = f"COCO_{word}2014_" if year == 2014 else ""
        names = {i: f"{start}{i:012d}.jpg" for i in BOXES}
        images = [
            {"id": i, "file_name": n, "width": SIZE[0], "height": SIZE[1]} for i, n in names.items()
        ]
        for i, name in names.items():
            write(folder / f"{word}{year}/{name}", photo(i, SIZE, "jpg"))
            ids = np.full(SIZE[::-1], 255, np.uint8)
            ids[:16, :24], ids[16:, 24:] = 0, 181
            at = folder / f"stuffthingmaps_trainval2017/{word}{year}/{name[:-4]}.png"
            at.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(ids).save(at)
        captions = [
            {"id": 10 * i + k, "image_id": i, "caption": f"image {i}\n caption {k} "}
            for i in BOXES
            for k in (2, 1)
        ]
        annotate(folder, f"captions_{word}{year}", images, captions, {})
        annotate(folder, f"instances_{word}{year}", images, rows_of(BOXES), THINGS)
        annotate(folder, f"stuff_{word}{year}", images, rows_of(STUFF), STUFFS)
    return folder


def rows_of(table):
    """Return annotations of boxes."""
    return [
        {"id": 1000 * image + n, "image_id": image, "bbox": [*box[:4]], "category_id": box[4],
         "iscrowd": box[5], "area": 1.0}
        for image, boxes in table.items()
        for n, box in enumerate(boxes)
    ]  # fmt: skip


def annotate(folder, name, images, rows, categories):
    """Write a JSON of annotations."""
    told = {
        "images": images,
        "annotations": rows,
        "categories": [{"id": i, "name": n, "supercategory": "x"} for i, n in categories.items()],
    }
    write(folder / f"annotations/{name}.json", json.dumps(told))
