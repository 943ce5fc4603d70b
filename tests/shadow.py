"""A stand-in for a GPU: tensors that say they lie on cuda:0, compute on the CPU, and never mix.

A `Shadow` is a CPU tensor that names another device. While `ShadowDevice` is entered, whatever is
made on or moved to "cuda" is a Shadow, results of Shadows are Shadows, and an operator that meets
Shadows and CPU tensors together raises as CUDA would. Copies between the two are counted. So code
that forgets a `.to(device)`, hands a CPU generator to a device, or reads a device's memory with
numpy fails here, without a GPU; and since the CPU computes, results equal the CPU's bit for bit.
(FakeTensorMode is no way: its device guards call the CUDA runtime.)
"""

from __future__ import annotations

import gc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import safetensors.torch
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

DEVICE = torch.device("cuda:0")
NAME = "Shadow GPU"
Plain = torch.Tensor
_HOST = torch.device("cpu")
_SYNCS = {"item", "tolist", "__bool__", "__int__", "__float__", "__index__", "equal", "is_nonzero"}
_NUMPY = {"numpy", "__array__", "__dlpack__"}
_ACROSS = {"copy_", "__setitem__", "__getitem__", "_has_compatible_shallow_copy_type"}
"""Operators in which CUDA, too, takes tensors of both sides."""


class MixedDevicesError(RuntimeError):
    """What CUDA raises when an operator meets tensors of two devices."""


class Shadow(torch.Tensor):
    """A CPU tensor that says it lies on cuda:0."""

    @property
    def device(self):
        return DEVICE

    @property
    def is_cuda(self):
        return True

    @property
    def is_cpu(self):
        return False

    def get_device(self):
        return 0

    def __deepcopy__(self, memo):
        made = shadow(as_plain(self.detach()).clone()).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            made._is_param = True
        memo[id(self)] = made
        return made


class ShadowGenerator(torch.Generator):
    """A generator of the stand-in: the CPU's, so that draws are equal."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, device=_HOST)

    @property
    def device(self):
        return DEVICE


def shadow(tensor):
    return tensor if isinstance(tensor, Shadow) else tensor.as_subclass(Shadow)


def as_plain(tensor):
    return tensor.as_subclass(torch.Tensor) if isinstance(tensor, Shadow) else tensor


def is_on(device) -> bool:
    if device is None or isinstance(device, Plain):
        return False
    return isinstance(device, int) or torch.device(device).type == "cuda"


class ShadowDevice(TorchFunctionMode):
    """While entered, "cuda" is the stand-in.

    Attributes:
        copies: (way, operator) -> how often data went "to" or "from" the device; "sync" where a
            number was read; ("to", "pinned") counts copies that nothing waits for.
    """

    def __init__(self):
        super().__init__()
        self.copies = Counter()
        self._undo = []

    def __enter__(self):
        self._patch()
        return super().__enter__()

    def __exit__(self, *error):
        try:
            return super().__exit__(*error)
        finally:
            for place, name, value in reversed(self._undo):
                setattr(place, name, value)
            self._undo.clear()

    def living(self) -> int:
        """Return how many tensors of the device are alive."""
        gc.collect()
        return sum(type(thing) is Shadow for thing in gc.get_objects())

    def _patch(self):
        def put(place, name, value):
            self._undo.append((place, name, getattr(place, name)))
            setattr(place, name, value)

        cuda = torch.cuda
        properties = SimpleNamespace(
            name=NAME, uuid="GPU-0", total_memory=1 << 34, major=9, minor=0
        )
        for name, value in {
            "is_available": True, "device_count": 1, "current_device": 0, "get_device_name": NAME,
            "get_device_properties": properties, "synchronize": None, "empty_cache": None,
            "set_device": None, "memory_allocated": 0, "max_memory_allocated": 0,
            "reset_peak_memory_stats": None, "is_current_stream_capturing": False,
            "mem_get_info": (1 << 34, 1 << 34), "get_device_capability": (9, 0),
        }.items():  # fmt: skip
            put(cuda, name, lambda *_, _value=value, **__: _value)
        put(torch, "Generator", _AnyGenerator)
        put(torch.Tensor, "pin_memory", _pinned)
        put(torch, "autocast", _Autocast)
        put(ThreadPoolExecutor, "submit", self._submitted)
        put(safetensors.torch, "safe_open", _Opened)
        stream = SimpleNamespace(is_capturing=lambda: False)
        put(torch.accelerator, "current_stream", lambda *_: stream)

    @property
    def _submitted(self):
        """What submits calls to pools so that the stand-in is entered in their threads, too."""
        submit, outer = ThreadPoolExecutor.submit, self

        class InThread(TorchFunctionMode):
            def __torch_function__(self, *call, **kwargs):
                return outer.__torch_function__(*call, **kwargs)

        def within(fn, *args, **kwargs):
            with InThread():
                return fn(*args, **kwargs)

        def submitted(pool, fn, *args, **kwargs):
            return submit(pool, within, fn, *args, **kwargs)

        return submitted

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", str(func))
        given, _ = tree_flatten((args, kwargs))
        tensors = [value for value in given if isinstance(value, Plain)]
        here = [value for value in tensors if isinstance(value, Shadow)]
        if name == "__get__":
            return self._property(func, args, bool(here))
        if name == "__set__":
            return self._assigned(func, *args)
        if name in ("to", "cuda", "cpu"):
            return self._moved(name, func, args, kwargs)
        if name in _NUMPY and here:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if name in _SYNCS and here:
            self.copies["sync", name] += 1
        self._refuse_mixture(name, tensors, here)
        self._refuse_indices(name, args)
        made_there = is_on(kwargs.get("device")) if "device" in kwargs else bool(here)
        if is_on(kwargs.get("device")):
            if not here and tensors and name in ("tensor", "as_tensor"):
                self.copies["to", name] += 1
            kwargs["device"] = _HOST
        elif kwargs.get("device") is not None and here and name in ("tensor", "as_tensor"):
            self.copies["from", name] += 1
        self._refuse_generator(name, kwargs.get("generator"), made_there)
        if name == "copy_" and len(tensors) > len(here) > 0:
            self.copies["to" if isinstance(args[0], Shadow) else "from", name] += 1
        if here and _get_current_dispatch_mode() is not None:
            # Counting FLOPs takes operators apart in Python, which asks tensors for their device.
            args, kwargs = tree_map(as_plain, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        return _wrapped(result) if made_there else result

    def _property(self, func, args, here):
        kind = getattr(func, "__self__", None)
        if here and kind in _DEVICE_PROPERTIES:
            return _DEVICE_PROPERTIES[kind]
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args)
        return _wrapped(result) if here else result

    def _assigned(self, func, tensor, value):
        """Set a property; `.data` of the other device moves the tensor, as `Module.to` does."""
        with torch._C.DisableTorchFunctionSubclass():
            func(tensor, value)
        if func.__self__ is torch.Tensor.data and isinstance(value, Plain):
            if isinstance(value, Shadow) and not isinstance(tensor, Shadow):
                named = isinstance(tensor, torch.nn.Parameter)
                tensor.__class__ = Shadow
                tensor._is_param = named
            elif isinstance(tensor, Shadow) and not isinstance(value, Shadow):
                tensor.__class__ = torch.nn.Parameter if tensor._is_param else torch.Tensor

    def _moved(self, name, func, args, kwargs):
        tensor, *rest = args
        target, waits = {"cuda": DEVICE, "cpu": _HOST}.get(name), True
        if name == "to":
            devices = [a for a in [*rest, kwargs.pop("device", None)] if _is_device(a)]
            like = [a for a in rest if isinstance(a, Plain)]
            target = devices[0] if devices else like[0].device if like else None
            rest = [a.dtype if isinstance(a, Plain) else a for a in rest if not _is_device(a)]
            rest = [a for a in rest if not (isinstance(a, bool) and devices)]
            waits = not kwargs.pop("non_blocking", False)
        there = isinstance(tensor, Shadow)
        with torch._C.DisableTorchFunctionSubclass():
            moved = tensor.to(*rest, **kwargs) if name == "to" and (rest or kwargs) else tensor
            if target is None or is_on(target) == there:
                return _wrapped(moved) if there else moved
            ahead = not waits and getattr(tensor, "pinned", False)
            self.copies["to" if is_on(target) else "from", "pinned" if ahead else name] += 1
            moved = moved.clone() if moved is tensor else moved
            return shadow(moved) if is_on(target) else moved.as_subclass(torch.Tensor)

    def _refuse_mixture(self, name, tensors, here):
        if not here or len(here) == len(tensors) or name in _ACROSS:
            return
        if any(not isinstance(value, Shadow) and value.dim() for value in tensors):
            raise MixedDevicesError(
                f"{name}: Expected all tensors to be on the same device, but found at least two"
                " devices, cuda:0 and cpu!"
            )

    def _refuse_indices(self, name, args):
        """Refuse to index a CPU tensor by the device's; the other way round CUDA copies them."""
        if name == "__getitem__" and not isinstance(args[0], Shadow):
            indices, _ = tree_flatten(args[1])
            if any(isinstance(index, Shadow) and index.dim() for index in indices):
                raise MixedDevicesError(
                    "__getitem__: indices should be either on cpu or on the same device as the"
                    " indexed tensor (cpu)"
                )

    def _refuse_generator(self, name, generator, there):
        if generator is None:
            return
        if isinstance(generator, ShadowGenerator) != there:
            wanted, found = ("cuda", "cpu") if there else ("cpu", "cuda")
            raise MixedDevicesError(
                f"{name}: Expected a '{wanted}' device type for generator but found '{found}'"
            )


class _Generators(type(torch.Generator)):
    """Makes a generator of either side; a class, since libraries write `Generator | None`."""

    def __call__(cls, device="cpu"):
        return ShadowGenerator() if is_on(device) else _REAL_GENERATOR(device)

    def __instancecheck__(cls, thing):
        return isinstance(thing, _REAL_GENERATOR)


class _AnyGenerator(torch.Generator, metaclass=_Generators):
    pass


class _Autocast(torch.autocast):
    """Casts what the stand-in computes, which the CPU does."""

    def __init__(self, device_type, *args, **kwargs):
        super().__init__("cpu", *args, **kwargs)


def _pinned(tensor, *_):
    """Return a copy in memory that a GPU reads by itself; so called from any thread."""
    copy = tensor.clone()
    copy.pinned = True
    return copy


class _Opened:
    """A safetensors file whose tensors are read to the stand-in."""

    def __init__(self, filename, framework, device="cpu", **more):
        self._there = is_on(device)
        self._file = _REAL_OPEN(filename, framework=framework, device="cpu", **more)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def get_tensor(self, name):
        found = self._file.get_tensor(name)
        return shadow(found) if self._there else found

    def get_tensors(self):
        return {name: self.get_tensor(name) for name in [*self._file.keys()]}


_REAL_OPEN = safetensors.torch.safe_open
_REAL_GENERATOR = torch.Generator
_DEVICE_PROPERTIES = {
    torch.Tensor.device: DEVICE,
    torch.Tensor.is_cuda: True,
    torch.Tensor.is_cpu: False,
}


def _is_device(value):
    if isinstance(value, torch.device):
        return True
    return isinstance(value, str)


def _wrapped(result):
    leaves, spec = tree_flatten(result)
    made = [
        shadow(leaf) if isinstance(leaf, Plain) and not isinstance(leaf, Shadow) else leaf
        for leaf in leaves
    ]
    return tree_unflatten(made, spec) if leaves else result
