"""Which part of a checkpoint is meant: averaged or raw, under whatever names trainers keep it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from ldmbench.canonical import Stamp, stamp_of
from ldmbench.errors import InputError
from ldmbench.tensors.inert import items
from ldmbench.tensors.safetensors_file import read_safetensors
from ldmbench.tensors.slots import Slot
from ldmbench.tensors.torch_file import read_archive, read_stream
from ldmbench.words import first_line

__all__ = ["MARKS", "Held", "is_average", "open_weights", "unwrapped", "without"]

_RAW = (
    "state_dict", "model_state_dict", "model", "module", "params", "net", "network", "generator",
    "weights", "model_state", "unet", "denoiser", "diffusion_model", "score_model", "raw",
    "online_model", "net_g", "g",
)  # fmt: skip
"""Entries that hold the raw weights: CompVis and Lightning, DiT, DeepSpeed, BasicSR, GANs, ..."""
_AVERAGED = re.compile(
    r"(^|[^a-z])(emas?|averaged?|averages|(?<!exp_)avg|swa|polyak|shadow)([^a-z]|$)"
)
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHERS = re.compile(
    r"optim|^opt(_|\d|$)|sched|scaler|discriminator|^(net_)?d(_|$)|criterion|loss|metric|lpips|"
    r"callback|hyper_?param|config|^args?$|rng|random|history|teacher|perceptual"
)
"""Entries that only training reads."""
_ONLINE = "online_model."
"""Where an average keeps the raw weights."""
_DEEPEST = 8
_NAMED, _LONGEST = 8, 400
MARKS = ("v_pred", "ztsnr")
"""Names without weights by which Stable Diffusion's trainers say what the network predicts."""
_TRAINING = (
    *MARKS, "*_metric.*", "*_metrics.*", "*discriminator.*", "*lpips.*", "*perceptual_loss.*",
    "criterion.*", "epoch", "fid.*", "first_stage_model.foundation_model.*",
    "first_stage_model.linear_proj.*", "first_stage_model.loss.*", "foundation_model.*",
    "global_step", "grad_scaler*", "inception.*", "initted", "linear_proj.*", "loss.*",
    "lr_scheduler*", "metrics.*", "n_averaged", "*.n_averaged", "optimizer*", "step",
    "teacher.*",
)  # fmt: skip
"""Tensors that only training reads."""
_CLEAR = ("_checkpoint_wrapped_module", "_forward_module", "_fsdp_wrapped_module", "_orig_mod",
          "module")  # fmt: skip
"""Parts of names that wrappers put in anywhere; no network that is read has such a part."""
_WRAPPERS = (
    "autoencoder", "denoiser", "diffusion_model", "ema", "ema_model", "generator", "model", "net",
    "network", "online_model", "unet", "vae",
)  # fmt: skip


@dataclass(frozen=True)
class Held:
    """The tensors that were meant of a file.

    Attributes:
        path: the file.
        slots: name -> where it lies.
        entry: names of the entries that lead to them, joined by dots; empty: the whole file.
        averaged: whether an entry of averaged weights was taken.
        whole: whether it holds averages of all that is there, first stages too.
        beside: other entries that hold tensors, which were not taken.
        left_out: patterns of tensors that were left out, each with their number.
        marks: what stands there for no weights but to say what the network predicts.
        args: plain values of the entry `args`, the arguments of a trainer.
    """

    path: Path
    slots: dict[str, Slot]
    entry: str = ""
    averaged: bool = False
    whole: bool = False
    beside: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    args: Mapping[str, object] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Return the file's name, and the entry that was taken."""
        return f"{self.path.name} [{self.entry}]" if self.entry else self.path.name


def open_weights(path: Path, *, ema: bool = True) -> Held:
    """Say which tensors of a checkpoint are meant and where they lie; nothing of it is run.

    Args:
        path: .safetensors, or what `torch.save` wrote; known by its content.
        ema: take the averaged weights where the checkpoint has them, else the raw ones.

    Raises:
        InputError: no such file, damaged, a pickle that names what could act, no tensors, or
            several sets of weights of which none is the one.
    """
    if not path.is_file():
        what = "no regular file" if path.exists() else "not a file"
        raise InputError(f"{path} is {what}; give a checkpoint or a diffusers folder")
    return _opened(path, stamp_of(path.stat()), ema)


@lru_cache(maxsize=8)
def _opened(path: Path, stamp: Stamp, ema: bool) -> Held:
    """Look into a file once, as long as it is the same; a plan asks again for every cell."""
    content = _content(path)
    found = _chosen(Held(path, {}, args=_args(content)), content, ema=ema, depth=0)
    if not found.slots:
        raise InputError(f"{path} holds no tensors; expected a state_dict as torch.save writes it")
    return found


def _args(content: object) -> dict[str, object]:
    """Return the arguments that a trainer keeps beside the weights."""
    args = dict(items(content)).get("args")
    plain = (str, int, float, bool, list, tuple, type(None))
    return {name: value for name, value in items(args) if isinstance(value, plain)}


def _content(path: Path) -> object:
    """Return what a file holds, by the reader of its format."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
        return _reader(path, head)(path)
    except InputError:
        raise
    except Exception as error:  # a damaged file breaks nearly anywhere in it
        said = first_line(error)[:200]
        said = "".join(c if c.isprintable() else "?" for c in said)
        safe = path.suffix == ".safetensors"
        kind = "readable safetensors file" if safe else "checkpoint that torch.save wrote"
        raise InputError(f"{path} is not a {kind}: {said}; get it again, whole") from error


def _reader(path: Path, head: bytes) -> Callable[[Path], object]:
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is a pointer of Git LFS, not the file; run `git lfs pull` there")
    if head.lstrip()[:1] == b"<":
        raise InputError(f"{path} is a web page, not the file; a download may need a login")
    if head.startswith(b"PK"):
        return read_archive
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return read_safetensors
    return read_stream


def _chosen(held: Held, content: object, *, ema: bool, depth: int) -> Held:
    """Go down to the state dict that is meant."""
    entries = dict(items(content))
    own = {name: value for name, value in entries.items() if isinstance(value, Slot)}
    known: dict[int, bool] = {}
    entries |= _by_callbacks(entries.get("callbacks"))
    inner = {name: value for name, value in entries.items() if _has_tensors(value, known, depth)}
    if any(not n.isprintable() or len(n) > _LONGEST for n in (*own, *inner)):
        raise InputError(f"{held.path} holds a tensor of a name that cannot be printed")
    if {"state", "param_groups"} <= set(entries):
        raise InputError(f"{held.path} holds the state of an optimizer, and no weights")
    _check_named(held, entries, ema=ema)
    name = _entry(held, inner, own, ema=ema) if depth < _DEEPEST else None
    if name is None:
        return replace(held, slots=own, beside=(*held.beside, *inner))
    down = replace(
        held,
        entry=f"{held.entry}.{name}".lstrip("."),
        averaged=held.averaged or is_average(name),
        beside=(*held.beside, *(n for n in inner if n != name)),
    )
    return _chosen(down, inner[name], ema=ema, depth=depth + 1)


def _entry(
    held: Held, inner: Mapping[str, object], own: Mapping[str, Slot], *, ema: bool
) -> str | None:
    """Return which entry holds the weights, or None where they lie here."""
    averages = [n for n in inner if is_average(n)]
    averages = [n for n in averages if not _OTHERS.search(n.lower())] or averages
    raw = [n for n in inner if n.lower() in _RAW]
    rest = [n for n in inner if n not in averages and not _OTHERS.search(n.lower())]
    if averages and (ema or held.averaged):
        return _one(held, averages, "averaged weights")
    if any(s.shape for s in own.values()) and not raw:
        return None
    if "state_dict" in raw:
        return "state_dict"
    if raw or rest:
        return _one(held, raw or rest, "weights")
    if averages:
        raise InputError(
            f"{held.path} holds averaged weights alone (entry '{averages[0]}'), and `ema: false` "
            "asks for raw ones; take it out"
        )
    return None


def _by_callbacks(callbacks: object) -> dict[str, object]:
    """Return the averages that callbacks of Lightning keep, beside the raw state_dict."""
    found = {
        f"callbacks.{own}.{name}": value
        for own, state in items(callbacks)
        for name, value in items(state)
    }
    return {path: v for path, v in found.items() if is_average(path.rpartition(".")[2])}


def _one(held: Held, names: list[str], what: str) -> str:
    if len(names) == 1:
        return names[0]
    more = ", ..." if len(names) > _NAMED else ""
    raise InputError(
        f"{held.path} holds several sets of {what}: entries "
        f"{', '.join(map(repr, names[:_NAMED]))}{more}; save the state_dict of the one that is "
        "meant in a file of its own"
    )


def _check_named(held: Held, entries: Mapping[str, object], *, ema: bool) -> None:
    """Refuse averages that are a list, which only order would match to the weights."""
    for name, value in entries.items():
        inner = [value, *dict.values(value)] if isinstance(value, dict) else [value]
        lists = [v for v in inner if isinstance(v, list | tuple)]
        listed = any(isinstance(v, Slot) and v.shape for row in lists for v in row)
        if ema and listed and is_average(name):
            raise InputError(
                f"{held.path} holds averaged weights without names (entry '{name}'), which cannot "
                "be matched to the network; `ema: false` takes the raw ones"
            )


def is_average(name: str) -> bool:
    """Tell whether an entry holds averaged weights, by what trainers call them."""
    return _AVERAGED.search(_WORDS.sub("_", name).lower()) is not None


def _has_tensors(value: object, known: dict[int, bool], depth: int) -> bool:
    """Tell whether an entry is a dict with tensors in it, however deep; each is looked at once."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return False
    if id(value) not in known:
        known[id(value)] = False  # what holds itself has no end
        inner = list(dict.values(value))
        found = any(isinstance(v, Slot) for v in inner)
        known[id(value)] = found or any(_has_tensors(v, known, depth + 1) for v in inner)
    return known[id(value)]


def unwrapped(held: Held, heads: Collection[str], *, ema: bool = True) -> Held:
    """Take off what wrappers put before and into names (DDP, compile, FSDP, EMA, Lightning).

    Args:
        held: as the file has it.
        heads: how names of the network begin.
        ema: which of two copies is meant that are wrapped side by side.

    Raises:
        InputError: two tensors would have one name, or several copies are wrapped side by side.
    """
    clear = {name: _without(name) for name in held.slots}
    fronts = {name: _front(clean, heads) for name, clean in clear.items()}
    front = _one_front(held, sorted({f for f in fronts.values() if f is not None}), ema=ema)
    others = sorted({f.rstrip(".") for f in fronts.values() if f not in (None, front)})
    kept = {old: clear[old].removeprefix(front) for old, f in fronts.items() if f in (None, front)}
    flat = {_dotless(old.partition(f"{front}model.")[2]): new for old, new in kept.items()}
    slots: dict[str, Slot] = {}
    for old, new in kept.items():
        bare = new.removeprefix("model_ema.")
        raw = flat.get(bare, "") if bare != new else ""  # LitEma's names have no dots
        name = f"model_ema.{_dotless(raw.removeprefix('model.'))}" if raw else new
        if name in slots:
            raise InputError(
                f"{held.path}: two tensors are named {name} once the prefixes of wrappers are"
                " removed"
            )
        slots[name] = held.slots[old]
    averaged = held.averaged or _averages(front)
    return replace(held, slots=slots, averaged=averaged, beside=(*held.beside, *others))


def without(held: Held, ignore: Sequence[str] = ()) -> Held:
    """Leave out tensors that only training reads, and those that somebody asked to leave out.

    Args:
        held: names without wrappers.
        ignore: patterns of names, in which * stands for anything.
    """
    patterns = (*ignore, *_TRAINING)
    by = {n: next((p for p in patterns if fnmatchcase(n, p)), None) for n in held.slots}
    counts = Counter(p for p in by.values() if p is not None)
    left = tuple(f"{pattern} ({count})" for pattern, count in sorted(counts.items()))
    gone = {n for n, pattern in by.items() if pattern is not None}
    gone |= {f"model_ema.{_dotless(n)}" for n in gone}  # LitEma averages all that is trained
    kept = {name: slot for name, slot in held.slots.items() if name not in gone}
    marks = tuple(n for n in MARKS if n in held.slots and n not in ignore)
    return replace(held, slots=kept, left_out=left, marks=marks)


def _dotless(name: str) -> str:
    return name.replace(".", "")


def _one_front(held: Held, fronts: list[str], *, ema: bool) -> str:
    averages = [f for f in fronts if _averages(f)]
    others = [f for f in fronts if f not in averages]
    raw = [f for f in others if not f.endswith(_ONLINE)] or others
    meant = averages if averages and ema else raw
    return _one(held, meant or fronts, "weights") if fronts else ""


def _averages(front: str) -> bool:
    """Tell whether wrappers say that what they hold is averaged; one of averages holds both."""
    return not front.endswith(_ONLINE) and any(map(is_average, front.split(".")))


def _without(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _CLEAR)


def _front(name: str, heads: Collection[str]) -> str | None:
    """Return the wrappers before one of some heads, or None where there is none."""
    front, rest = "", name
    while not rest.startswith(tuple(heads)):
        part, dot, rest = rest.partition(".")
        if not dot or not (part in _WRAPPERS or is_average(part)):
            return None
        front += f"{part}."
    return front
