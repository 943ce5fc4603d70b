"""Weights from files, read without executing anything, and put into networks without copies."""

from __future__ import annotations

import pickle
import pickletools
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from ldmbench.errors import InputError

__all__ = ["Source", "Tensors", "fill", "read_weights", "select"]

Tensors = dict[str, torch.Tensor]

# Values that checkpoints do hold: numpy scalars, sets, paths. Stubbed too, not imported.
_HARMLESS = frozenset(
    {
        "_codecs.encode",
        "argparse.Namespace",
        "builtins.bool",
        "builtins.bytearray",
        "builtins.bytes",
        "builtins.dict",
        "builtins.float",
        "builtins.frozenset",
        "builtins.int",
        "builtins.list",
        "builtins.object",
        "builtins.set",
        "builtins.slice",
        "builtins.str",
        "builtins.tuple",
        "collections.defaultdict",
        "collections.deque",
        "copyreg._reconstructor",
        "datetime.datetime",
        "datetime.timedelta",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.ndarray",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "typing.Any",  # omegaconf's nodes name the types of their values
        "typing.Optional",
        "typing.Union",
    }
)
_LEGACY_PICKLES = 5  # torch before 1.6 wrote magic, version, system, object, storage keys


class _Inert:
    """Stands for a class that a pickle names; takes anything and does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _Inert:
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_weights(path: Path) -> Tensors:
    """Read the tensors of a checkpoint file, memory-mapped where the format allows it.

    .safetensors holds tensors alone. Any other file must be what `torch.save` writes, and is
    read by `torch.load(weights_only=True)` with foreign classes replaced by inert stubs that
    are never imported; a `state_dict` inside is unwrapped.

    Returns:
        name -> tensor on the CPU, as stored.

    Raises:
        InputError: no such file, damaged, or a pickle that names a function or a module that
            could act; the message has the name. Nothing of it has run.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; give a checkpoint or a diffusers folder")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_pickle(path)
    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
            break
    tensors = {k: v for k, v in _items(content) if isinstance(v, torch.Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors; expected a state_dict as torch.save writes it")
    return tensors


def select(tensors: Mapping[str, torch.Tensor], prefix: str) -> Tensors:
    """Return the tensors under `prefix`, with the prefix taken off."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


@dataclass(frozen=True)
class Source:
    """Where a module's parameters come from.

    Attributes:
        name: the module's name in the checkpoint, without .weight or .bias.
        part: 0, 1 or 2 for the query, key or value rows of a joint projection; else None.
        heads: number of heads of that projection, if its rows are grouped head by head.
    """

    name: str
    part: int | None = None
    heads: int = 1


def fill(
    network: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    sources: Mapping[str, Source],
    *,
    where: str,
    ignore: Callable[[str], bool] = lambda name: False,
) -> None:
    """Put checkpoint tensors into a network built on the meta device, as float32.

    Args:
        network: on the meta device; gets the tensors themselves, so mapped files stay mapped.
        tensors: the checkpoint's part for this network.
        sources: module name in the network -> where it comes from; longest name first wins.
        where: said in messages.
        ignore: which checkpoint keys need not be used.

    Raises:
        InputError: keys are missing or left over, or shapes differ from what the config says.
    """
    found: Tensors = {}
    used: set[str] = set()
    missing: list[str] = []
    wrong: list[str] = []
    for name, wanted in network.state_dict().items():
        source, suffix = _source_of(name, sources)
        key = f"{source.name}{suffix}"
        if key not in tensors:
            missing.append(key)
            continue
        used.add(key)
        value = _take(tensors[key], source, wanted.shape)
        if wanted.is_floating_point() and not tensors[key].is_floating_point():
            wrong.append(f"{key} is {tensors[key].dtype}")
        elif value is None:
            wrong.append(f"{key} is {tuple(tensors[key].shape)}, not {tuple(wanted.shape)}")
        else:
            found[name] = value.to(wanted.dtype)
    extra = [key for key in tensors if key not in used and not ignore(key)]
    _refuse(where, missing=missing, extra=extra, wrong=wrong)
    network.load_state_dict(found, strict=True, assign=True)


def _refuse(where: str, *, missing: list[str], extra: list[str], wrong: list[str]) -> None:
    if not (missing or extra or wrong):
        return
    parts = []
    for name, told in (
        ("missing", missing),
        ("not asked for", extra),
        ("of another shape or type", wrong),
    ):
        keys = [*dict.fromkeys(told)]  # a joint projection is asked for three times
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            parts.append(f"{len(keys)} {name} ({', '.join(keys[:3])}{more})")
    raise InputError(
        f"{where}: the weights do not fit the config: {'; '.join(parts)}; "
        f"{_misfit(bool(missing), bool(extra), bool(wrong))}"
    )


def _misfit(missing: bool, extra: bool, wrong: bool) -> str:
    """Say what weights and config that do not fit together are of, and where to look."""
    if missing and extra:
        return "file and config are of two architectures, or the file names its tensors otherwise"
    if wrong:
        return "the network in the file has other sizes: compare those named with the config"
    if missing:
        return "the file holds a part of the network: look for the file with the rest of it"
    return "the file holds more than the network that the config describes"


def _source_of(name: str, sources: Mapping[str, Source]) -> tuple[Source, str]:
    head = name
    while head:
        if head in sources:
            return sources[head], name[len(head) :]
        head = head.rpartition(".")[0]
    return Source(name), ""


def _take(tensor: torch.Tensor, source: Source, shape: torch.Size) -> torch.Tensor | None:
    """Return the tensor in the wanted shape (1x1 convolutions become linear), or None."""
    if source.part is not None:
        if tensor.shape[0] % (3 * source.heads):
            return None
        rows = tensor.reshape(source.heads, 3, -1, *tensor.shape[1:])
        tensor = rows[:, source.part].reshape(-1, *tensor.shape[1:])
    if tensor.shape == shape:
        return tensor
    if _without_ones(tensor.shape) == _without_ones(shape):
        return tensor.reshape(shape)
    return None


def _without_ones(shape: Iterable[int]) -> tuple[int, ...]:
    sizes = list(shape)
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error


def _read_pickle(path: Path) -> object:
    try:
        names = sorted({_today(name) for name in _named_in(path)})
    except (ValueError, OSError, EOFError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a checkpoint that torch.save wrote: {error}") from error
    stubs: list[Any] = [(_stub(name), name) for name in names if _foreign(name, path)]
    try:
        with torch.serialization.safe_globals(stubs):
            mapped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, ValueError, TypeError, EOFError) as error:
        reason = str(error).replace("\n", " ").partition("WeightsUnpickler error:")
        said = (reason[2] or reason[0]).strip()[:200]
        raise InputError(
            f"{path} cannot be read without running code, and is refused: {said}; "
            "save its state_dict as .safetensors where you trust it"
        ) from error


def _foreign(name: str, path: Path) -> bool:
    """Say whether a name needs a stub; refuse it if it is no class of a foreign library."""
    from torch import _weights_only_unpickler as unpickler

    if name in unpickler._get_allowed_globals():
        return False
    if name in _HARMLESS:
        return True
    root, _, last = name.partition(".")[0], name, name.rpartition(".")[2]
    standard = root in sys.stdlib_module_names or root == "commands"
    if standard or root == "torch" or not last.lstrip("_")[:1].isupper():
        raise InputError(
            f"{path} names '{name}', which is not a tensor or a class to leave inert: "
            "a pickle that could execute code is refused (nothing of it was run); "
            "ask its author for a .safetensors file"
        )
    return True


def _today(name: str) -> str:
    """Return what a name of Python 2, which protocol 2 keeps, is called now."""
    module, _, last = name.rpartition(".")
    now = NAME_MAPPING.get((module, last), (IMPORT_MAPPING.get(module, module), last))
    return ".".join(now)


def _stub(name: str) -> type:
    return type(name.rpartition(".")[2], (_Inert,), {"__module__": "ldmbench.models.weights"})


def _named_in(path: Path) -> Iterator[str]:
    """Yield every module.name that a checkpoint's pickles mention, without running them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = [n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl"]
            if len(inner) != 1:
                raise ValueError("the archive holds no single data.pkl")
            if any(n.endswith("/constants.pkl") for n in archive.namelist()):
                raise ValueError("it is a TorchScript archive, which is code")
            with archive.open(inner[0]) as file:
                yield from _names(file)
        return
    with path.open("rb") as file:
        if file.peek(2)[:2] == b"PK":
            raise ValueError("it begins as one, but its end is missing; get the whole file")
        for _ in range(_LEGACY_PICKLES):
            yield from _names(file)
            if not file.peek(1):
                break


def _names(file: BinaryIO | Any) -> Iterator[str]:
    recent: list[str] = []
    for code, argument, _ in pickletools.genops(file):
        if code.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif code.name == "STACK_GLOBAL":
            yield ".".join(recent[-2:])
        elif isinstance(argument, str):
            recent.append(argument)


def _items(content: object) -> Iterable[tuple[str, object]]:
    return ((str(k), v) for k, v in content.items()) if isinstance(content, Mapping) else ()
