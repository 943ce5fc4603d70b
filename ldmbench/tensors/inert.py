"""Pickles read without executing anything: tensors become slots, objects inert dicts."""

from __future__ import annotations

import pickle
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

from ldmbench.errors import InputError
from ldmbench.tensors.slots import BYTES, Inside, Slot, Storage, slot

__all__ = ["Fields", "Inert", "Token", "Unpickler", "items"]

_STORAGES = {
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ShortStorage": "int16",
    "UntypedStorage": None,
}
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
# Of the standard library and numpy: values that checkpoints do hold. Inert too, not imported.
_VALUES = {
    "_codecs": ("encode",),
    "builtins": (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list",
        "object", "range", "set", "slice", "str", "tuple",
    ),
    "collections": ("Counter", "defaultdict", "deque"),
    "copyreg": ("__newobj__", "_reconstructor"),
    "datetime": ("date", "datetime", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "numpy": (
        "bool", "bool_", "bytes_", "dtype", "float16", "float32", "float64", "int16", "int32",
        "int64", "int8", "ndarray", "str_", "uint16", "uint32", "uint64", "uint8",
    ),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy.random._pickle": ("__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "WindowsPath"),
    "torch": ("device",),
    "torch._utils": (
        "_rebuild_device_tensor_from_numpy", "_rebuild_meta_tensor_no_storage",
        "_rebuild_qtensor", "_rebuild_sparse_tensor", "_rebuild_wrapper_subclass",
    ),
    "torch.serialization": ("_get_layout",),
    "uuid": ("UUID",),
}  # fmt: skip
_NAMESPACES = ("argparse.Namespace", "types.SimpleNamespace")
_TYPES_ARE_VALUES = ("typing", "enum")  # omegaconf's nodes name the types of their values
_CODE = ("torch.jit", "torch.package", "torch.utils", "torch.hub")
_LONGEST = 300  # letters of a name
_PLAIN = (str, int, float, bool, type(None))
_KEYS = (str, int, float, bool, bytes, type(None))


class Inert(dict[object, object]):
    """Stands for an object of a class that a pickle names: keeps items, and does nothing."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        """Make one of any arguments."""
        return dict.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        dict.__init__(self)

    def __setstate__(self, state: object) -> None:
        """Take no state."""

    def append(self, value: object) -> None:
        """Drop a value of what was a list."""

    def extend(self, values: object) -> None:
        """Drop values of what was a list."""

    def add(self, value: object) -> None:
        """Drop a value of what was a set."""


class Fields(Inert):
    """A namespace of argparse, whose plain values are kept: the arguments of a trainer."""

    def __setstate__(self, state: object) -> None:
        """Keep names, numbers and lists of them; nothing else of it can be read."""
        for name, value in items(state):
            parts = value if isinstance(value, list | tuple) else (value,)
            if all(type(part) in _PLAIN for part in parts):
                dict.__setitem__(self, name, value)


class _Ordered(Inert):
    """An OrderedDict, whose pairs may come as an argument."""

    def __init__(self, pairs: Iterable[tuple[object, object]] = ()) -> None:
        super().__init__()
        for key, value in pairs:
            self[_flat(key)] = value


class _Nameless(type):
    """Of a name that may be a function: objects may be made of it, but it may not be called."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        raise _called(cls.__doc__ or "")


class Token(Inside):
    """A type of torch that a pickle names; `name` is that of its values, or None."""

    def __init__(self, name: str | None) -> None:
        self.name = name


class _Made(Inside):
    """A function of torch that makes a tensor, done by ours."""

    def __init__(self, do: Callable[..., object]) -> None:
        self._do = do

    def __call__(self, *args: object) -> object:
        return self._do(*args)


class Readable(Protocol):
    """A stream of bytes, as pickle reads it."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""
        ...

    def readline(self) -> bytes:
        """Return what there is to the end of the line."""
        ...


class Unpickler(pickle._Unpickler):
    """Python's own unpickler, all protocols, that knows no class and calls no function.

    Every name becomes a stub of ours or ends the reading; nothing is imported.

    Args:
        file: a bounded stream.
        where: said in messages.
        stored: returns the storage of a persistent id.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(
        self, file: Readable, *, where: str, stored: Callable[[object], Storage] | None = None
    ) -> None:
        super().__init__(file, encoding="latin1")
        self._where, self._stored = where, stored
        self._known: dict[str, object] = {}

    def find_class(self, module: str, name: str) -> object:
        """Return what stands for a name; called by every opcode that has one.

        Raises:
            InputError: it could act: a function, or a part of Python, numpy or torch that is no
                value.
        """
        module, name = _today(str(module), str(name))
        full = f"{module}.{name}"
        if full not in self._known:
            self._known[full] = self._stub(module, name)
        return self._known[full]

    def _stub(self, module: str, name: str) -> object:
        full = f"{module}.{name}"
        if not full.isprintable() or len(full) > _LONGEST:
            raise ValueError("it names something that no class is called")
        if full in _TORCH:
            return _TORCH[full]
        if module in _STORAGE_MODULES and name in _STORAGES:
            return Token(_STORAGES[name])
        if module == "torch" and name in BYTES:
            return Token(name)
        last, root = name.rpartition(".")[2], module.partition(".")[0]
        is_class = last.lstrip("_")[:1].isupper()
        allowed = name in _VALUES.get(module, ()) or module in _TYPES_ARE_VALUES
        foreign = root not in (*sys.stdlib_module_names, "commands", "numpy", "torch")
        if not allowed and root in ("numpy", "torch"):
            allowed = is_class and not module.startswith(_CODE)
        if full in _NAMESPACES:
            return Fields
        if allowed or (foreign and is_class):
            return type(last, (Inert,), {"__module__": __name__})
        if foreign:
            named = f"{self._where} calls '{full}'"
            return _Nameless(last or "nameless", (Inert,), {"__doc__": named})
        raise _acting(f"{self._where} names '{full}'")

    def persistent_load(self, pid: object) -> Storage:
        """Return the storage that an id names."""
        if self._stored is None:
            raise ValueError("it names a storage where none can be")
        return self._stored(pid)

    def get_extension(self, code: int) -> None:
        """Refuse a name by number, which only the process that wrote it knows."""
        raise ValueError(f"it names extension {code}")

    def load_setitem(self) -> None:
        """Set one item of a dict, by a key whose hash is no deep recursion."""
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        value, key = stack.pop(), _flat(stack.pop())
        stack[-1][key] = value

    def load_setitems(self) -> None:
        """Set items of a dict."""
        found: list[object] = self.pop_mark()  # type: ignore[attr-defined]
        target: Any = self.stack[-1]  # type: ignore[attr-defined]
        for i in range(0, len(found), 2):
            target[_flat(found[i])] = found[i + 1]

    def load_dict(self) -> None:
        """Make a dict of what follows the mark."""
        found: list[object] = self.pop_mark()  # type: ignore[attr-defined]
        self.append(  # type: ignore[attr-defined]
            {_flat(found[i]): found[i + 1] for i in range(0, len(found), 2)}
        )

    def load_frozenset(self) -> None:
        """Make a frozenset of what follows the mark."""
        found: list[object] = self.pop_mark()  # type: ignore[attr-defined]
        self.append(frozenset(map(_flat, found)))  # type: ignore[attr-defined]

    def load_additems(self) -> None:
        """Add to a set what follows the mark."""
        found: list[object] = self.pop_mark()  # type: ignore[attr-defined]
        for value in found:
            self.stack[-1].add(_flat(value))  # type: ignore[attr-defined]

    def load_bytearray8(self) -> None:
        """Read bytes without making room first for as many as are claimed."""
        length = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        self.append(bytearray(self.read(length)))  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.FROZENSET[0]] = load_frozenset
    dispatch[pickle.ADDITEMS[0]] = load_additems


def items(value: object) -> list[tuple[str, object]]:
    """Return the items of a dict, plain or inert, under their names; none of another object."""
    return [(str(k), v) for k, v in dict.items(value)] if isinstance(value, dict) else []


def _acting(what: str) -> InputError:
    return InputError(
        f"{what}, which is not a tensor or a class to leave inert: a pickle that could execute "
        "code is refused (nothing of it was run); ask its author for a .safetensors file"
    )


_called = _acting


def _today(module: str, name: str) -> tuple[str, str]:
    """Return what a name of Python 2, which protocol 2 keeps, is called now."""
    known: tuple[str, str] = NAME_MAPPING.get((module, name), (module, name))
    return IMPORT_MAPPING.get(known[0], known[0]), known[1]


def _flat(key: object) -> object:
    """Return a key of a dict or a set, unless its hash would go too deep."""
    simple = (*_KEYS, type, Inert, Inside)
    parts = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(part, simple) for part in parts):
        raise ValueError("it holds a dict with keys of an odd kind")
    return key


def _tensor(storage: object, start: Any, shape: Any, stride: Any, *_: object) -> Slot:
    if not isinstance(storage, Storage) or storage.dtype is None:
        raise ValueError("it holds a tensor without a storage")
    return slot(storage.dtype, tuple(shape), storage, stride=tuple(stride), start=start)


def _typed(
    storage: object,
    start: Any,
    shape: Any,
    stride: Any,
    _grad: object,
    _hooks: object,
    dtype: object,
    *_: object,
) -> Slot:
    if not isinstance(storage, Storage) or not isinstance(dtype, Token):
        raise ValueError("it holds a tensor without a storage")
    return slot(str(dtype.name), tuple(shape), storage, stride=tuple(stride), start=start)


def _kept(value: object, *_: object) -> object:
    return value


def _subclassed(make: object, _kind: object, args: Any, *_: object) -> object:
    if not isinstance(make, _Made):
        raise ValueError("it holds a tensor of an odd kind")
    return make(*args)


_TORCH: dict[str, object] = {
    "collections.OrderedDict": _Ordered,
    "torch.Size": _Made(lambda shape=(): tuple(shape)),
    "torch._tensor._rebuild_from_type_v2": _Made(_subclassed),
    "torch._utils._rebuild_parameter": _Made(_kept),
    "torch._utils._rebuild_parameter_with_state": _Made(_kept),
    "torch._utils._rebuild_tensor": _Made(_tensor),
    "torch._utils._rebuild_tensor_v2": _Made(_tensor),
    "torch._utils._rebuild_tensor_v3": _Made(_typed),
}
