"""A GPU that is not there: tensors of a CPU that claim to be on "cuda", and are watched.

Numbers are computed as usual, so results can be compared with a CPU's. What a GPU would refuse
is refused here: tensors of two devices in one operation, a generator of another device. Within
`iteration()` so is whatever makes a processor wait for a GPU: reading a value, a shape that
depends on values, a copy from ordinary memory; and within `recording()` also what a CUDA graph
cannot take down: draws of random numbers, page-locked memory.

A tensor is on the device if its storage is; storages are remembered by weak pointers. Two modes
work together: torch functions see which device a call asks for, and dispatched operations see
what happens to tensors, in autograd too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("cuda", 0)

# Operations whose result's shape or the host's next move depends on values.
_WAITING = {
    "_local_scalar_dense",
    "_linalg_check_errors",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}
# They may take host tensors: they only move or name data.
_MOVING = {"copy_", "lift_fresh", "detach", "set_", "alias", "_to_copy"}
_INDEXING = {"index", "index_put", "index_put_", "_unsafe_index"}
_DRAWS = {
    *("bernoulli", "bernoulli_", "binomial", "cauchy_", "exponential_", "geometric_"),
    *("log_normal_", "multinomial", "native_dropout", "normal", "normal_", "poisson"),
    *("rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "random_"),
    *("randperm", "uniform_", "_sample_dirichlet", "_standard_gamma"),
}


class DeviceError(RuntimeError):
    """What a GPU would have refused, or waited for."""


class _Generator(torch.Generator):
    """A generator of the pretended device: a CPU's that says where it is."""

    pretended = False

    def __new__(cls, device: Any = "cpu") -> Self:
        made = super().__new__(cls, "cpu")
        made.pretended = torch.device(device).type == DEVICE.type
        return made

    @property
    def device(self) -> torch.device:
        """Where its numbers are drawn."""
        return DEVICE if self.pretended else torch.device("cpu")


class PretendedDevice:
    """`with PretendedDevice() as gpu:` makes "cuda" usable; see the module.

    Attributes:
        transfers: copies from the host to the device so far.

    """

    def __init__(self) -> None:
        self.transfers = 0
        self._storages: dict[int, StorageWeakRef] = {}
        self._strict = self._records = False
        self._functions, self._operations = _Functions(self), _Operations(self)

    def __enter__(self) -> Self:
        self._patches = ExitStack()
        for owner, name, stand_in in (
            (torch, "Generator", _Generator),
            (torch.cuda, "synchronize", lambda *_: self.waits("synchronize()")),
        ):
            self._patches.enter_context(mock.patch.object(owner, name, stand_in))
        self._operations.__enter__()
        self._functions.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._functions.__exit__(*failure)
        self._operations.__exit__(*failure)
        self._patches.close()

    @contextmanager
    def iteration(self) -> Iterator[None]:
        """No waiting for the device here."""
        before, self._strict = self._strict, True
        try:
            yield
        finally:
            self._strict = before

    @contextmanager
    def recording(self) -> Iterator[None]:
        """As in a CUDA graph that is being captured."""
        with self.iteration():
            self._records = True
            try:
                yield
            finally:
                self._records = False

    def holds(self, tensor: Any) -> bool:
        """Whether a tensor is on the device."""
        return isinstance(tensor, Tensor) and _address(tensor) in self._storages

    def put(self, tree: Any) -> Any:
        """Make tensors, which belong to nobody else, the device's."""
        for tensor in _tensors(tree):
            if not self.holds(tensor):
                storage = tensor.untyped_storage()
                # A weak pointer keeps the address from being used again.
                self._storages[storage._cdata] = StorageWeakRef(storage)
        if len(self._storages) > 20_000:
            self._storages = {k: v for k, v in self._storages.items() if not v.expired()}
        return tree

    def waits(self, what: str) -> None:
        """The processor waits for the device here."""
        if self._strict:
            raise DeviceError(f"{what}: the processor waits for the device.")

    def copied(self, what: str) -> None:
        """Ordinary memory is copied to the device here."""
        self.transfers += 1
        self.waits(f"{what} copies ordinary memory to the device")

    def allocated(self, what: str) -> None:
        """Memory of the host is taken from the driver here."""
        if self._records:
            raise DeviceError(f"{what} allocates memory of the host, which no capture may.")

    def drawn(self, what: str) -> None:
        """Random numbers are drawn here."""
        if self._records:
            raise DeviceError(f"{what} draws random numbers, which a graph would repeat.")


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors in an operation's arguments or results, which nest little."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [tensor for part in tree for tensor in _tensors(part)]


def _address(tensor: Tensor) -> int:
    try:
        return int(tensor.untyped_storage()._cdata)
    except RuntimeError:
        return 0


def _wants(device: Any) -> bool | None:
    """Whether a call asks for the pretended device; None where it asks for none."""
    if device is None:
        return None
    return torch.device(device).type == DEVICE.type


class _Functions(TorchFunctionMode):
    """Sees calls as they are written, with the devices that they ask for."""

    def __init__(self, gpu: PretendedDevice) -> None:
        super().__init__()
        self._gpu = gpu
        getters: dict[Any, Callable[[bool, Any], Any]] = {
            torch.Tensor.device.__get__: lambda there, real: DEVICE if there else real,
            torch.Tensor.is_cuda.__get__: lambda there, real: there,
            torch.Tensor.is_cpu.__get__: lambda there, real: not there,
            torch.Tensor.get_device: lambda there, real: 0 if there else real,
        }
        self._getters = getters

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, gpu = dict(kwargs or {}), self._gpu
        if func in self._getters:
            return self._getters[func](gpu.holds(args[0]), func(*args))
        name = getattr(func, "__name__", "")
        if name in ("to", "cpu", "cuda") and isinstance(args[0], Tensor):
            return self._move(name, args[0], args[1:], kwargs)
        if name in ("numpy", "__array__") and gpu.holds(args[0]):
            raise DeviceError(f"{name}() of a tensor on the device; call cpu() first.")
        if name == "pin_memory":
            gpu.allocated(name)
        if name == "tolist" and gpu.holds(args[0]):
            gpu.waits("tolist()")
        return self._call(func, name, args, kwargs)

    def _call(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        gpu, device = self._gpu, kwargs.get("device")
        if name in ("new_tensor",) and device is None and gpu.holds(args[0]):
            device = DEVICE
        there = _wants(device)
        if there is not None:
            kwargs["device"] = "cpu"
        drawing = kwargs.get("generator")
        if drawing is not None:
            target = bool(there) if there is not None else gpu.holds(next(iter(args), None))
            if getattr(drawing, "pretended", False) != target:
                raise DeviceError(f"{name}: a generator of one device, numbers on another.")
        made = func(*args, **kwargs)
        copied = name == "__deepcopy__" and gpu.holds(args[0])
        if not there and not copied:
            return made
        if name in ("tensor", "as_tensor", "asarray", "new_tensor"):
            if gpu.holds(made):
                return made
            gpu.copied(name)
            made = _apart(made)
        return gpu.put(made)

    def _move(self, name: str, tensor: Tensor, args: tuple[Any, ...], kwargs: Any) -> Tensor:
        """`to`, `cpu` and `cuda`, whose target may be a device, a dtype or another tensor."""
        gpu, here = self._gpu, self._gpu.holds(tensor)
        there = {"cpu": False, "cuda": True}.get(name, here)
        kept: list[Any] = []
        for value in (*args, kwargs.pop("device", None), kwargs.pop("other", None)):
            if isinstance(value, Tensor):
                there = gpu.holds(value)
                kept.append(value.dtype)
            elif isinstance(value, torch.dtype):
                kept.append(value)
            elif isinstance(value, torch.device | str):  # flags are left
                there = bool(_wants(value))
        same = there == here
        moved: Tensor = tensor.to(*kept, **kwargs) if name == "to" and (kept or kwargs) else tensor
        if same:
            return moved
        if here:
            gpu.waits(f"{name} to the host")
        elif not tensor.is_pinned():
            gpu.copied(name)
        moved = _apart(moved)
        return moved if here else gpu.put(moved)


def _apart(tensor: Tensor) -> Tensor:
    """A copy with memory of its own, not on the device yet; a leaf stays one."""
    with torch._C._DisableTorchDispatch():
        made = tensor.detach().clone()
    return made.requires_grad_(tensor.requires_grad)


class _Operations(TorchDispatchMode):
    """Sees what is done to tensors, whoever does it."""

    def __init__(self, gpu: PretendedDevice) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, gpu = kwargs or {}, self._gpu
        name = func._schema.name.split("::")[-1]
        tensors = [*_tensors(args), *_tensors(kwargs)]
        there = [gpu.holds(x) for x in tensors]
        if name in _DRAWS:
            gpu.drawn(name)
        if not any(there):
            return func(*args, **kwargs)
        if name in _WAITING or (name == "repeat_interleave" and "output_size" not in kwargs):
            gpu.waits(name)
        if name in _INDEXING:
            self._index(name, args)
        elif name == "copy_":
            self._copy(tensors, there)
        elif name not in _MOVING:
            self._together(name, tensors, there)
        return gpu.put(func(*args, **kwargs))

    def _together(self, name: str, tensors: list[Tensor], there: list[bool]) -> None:
        """All on the device; single numbers of the host are arguments of the kernel."""
        for tensor, on_device in zip(tensors, there, strict=True):
            if not on_device and tensor.ndim:
                shapes = [
                    f"{list(x.shape)}{'' if d else ' on the host'}"
                    for x, d in zip(tensors, there, strict=True)
                ]
                raise DeviceError(f"{name} of tensors on two devices: {', '.join(shapes)}.")

    def _copy(self, tensors: list[Tensor], there: list[bool]) -> None:
        into, source = there[:2]
        if into and not source and tensors[1].ndim:
            self._gpu.copied("copy_")
        elif source and not into:
            self._gpu.waits("copy_ to the host")

    def _index(self, name: str, args: tuple[Any, ...]) -> None:
        gpu, (tensor, indices, *rest) = self._gpu, args
        values = rest[0] if rest else None
        given = [x for x in indices if x is not None]
        if not gpu.holds(tensor):
            raise DeviceError(f"{name}: a host tensor indexed by the device's.")
        if any(not gpu.holds(x) for x in given):
            gpu.copied(f"{name} by a host index")
        if values is not None and values.ndim and not gpu.holds(values):
            raise DeviceError(f"{name}: values on the host for a tensor on the device.")
        # One number into a masked place is a fill; all else looks for the places first.
        filled = values is not None and values.numel() == 1 and len(given) == 1
        if any(x.dtype in (torch.bool, torch.uint8) for x in given) and not filled:
            gpu.waits(f"{name} by a mask")
