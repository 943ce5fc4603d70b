"""Which workers a Ray cluster is asked for, and with what resources each."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ldmbench.errors import InputError
from ldmbench.execute.devices import cores, devices, named_devices

__all__ = [
    "LOCAL",
    "Node",
    "RayWorker",
    "address",
    "devices_here",
    "local_size",
    "ray_workers",
    "team_of",
]

LOCAL = "local"
"""Ray's own word for a cluster on this machine that lives as long as its driver."""


@dataclass(frozen=True)
class Node:
    """A machine of a cluster: its id, its name, and all of each resource it has."""

    id: str
    name: str
    resources: Mapping[str, float]


@dataclass(frozen=True)
class RayWorker:
    """What one worker asks for.

    Attributes:
        device: what it computes on; on a cluster each GPU worker sees one GPU alone.
        resources: name -> amount, CPU and GPU among them.
        threads: for torch; 0 leaves it to torch.
    """

    device: str
    resources: Mapping[str, float]
    threads: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """Options for Ray."""
        more = {name: n for name, n in self.resources.items() if name not in ("CPU", "GPU")}
        return {
            "num_cpus": self.resources.get("CPU", 0),
            "num_gpus": self.resources.get("GPU", 0),
            "resources": more,
        }

    @property
    def wish(self) -> str:
        """Short text for people, such as 'CPU 2, GPU 1'."""
        return ", ".join(f"{name} {n:g}" for name, n in self.resources.items() if n)


def address() -> str:
    """Return where the cluster is: RAY_ADDRESS, or LOCAL.

    Raises:
        InputError: for the address of a Ray client, which cannot stream what workers say.
    """
    found = os.environ.get("RAY_ADDRESS", "").strip() or LOCAL
    if found.startswith("ray://"):
        raise InputError(
            f"RAY_ADDRESS: found '{found}'; allowed: HOST:PORT of the head node, auto, or unset;"
            " begin the run on a node of the cluster"
        )
    return found


def local_size() -> dict[str, int]:
    """Return how many CPUs and GPUs a cluster on this machine announces."""
    wanted = devices_here()
    return {
        "num_cpus": max(cores(), len(wanted)),
        "num_gpus": sum(device.startswith("cuda") for device in wanted),
    }


def ray_workers(nodes: Sequence[Node], *, ours: bool) -> list[RayWorker]:
    """Return one worker per device that a run gets.

    LDMBENCH_DEVICES names them by kind (cuda:0,cuda:1 is two GPUs, wherever they are); else every
    GPU of the cluster, or one worker per node where there is none. LDMBENCH_RAY_RESOURCES, a JSON
    object, replaces or adds what each worker asks for.

    Args:
        nodes: of the cluster.
        ours: the cluster was started for this run: threads are left to torch, as without Ray.

    Raises:
        InputError: if no node has what one worker asks for.
    """
    kinds = _kinds(nodes, ours=ours)
    asked = _asked()
    found = []
    for kind in kinds:
        gpu = kind.startswith("cuda")
        share = _share(nodes, gpu=gpu, workers=len(kinds))
        resources = {"CPU": float(share), **({"GPU": 1.0} if gpu else {}), **asked}
        threads = 0 if ours else max(1, int(resources["CPU"]))
        found.append(RayWorker("cuda:0" if gpu else kind, resources, threads))
    for worker in found:
        if not any(_fits(worker, node) for node in nodes):
            has = "; ".join(f"{n.name}: {_shown(n.resources)}" for n in nodes) or "none"
            raise InputError(
                f"a worker asks for {worker.wish}, and no node of the Ray cluster has it (nodes:"
                f" {has}); set LDMBENCH_DEVICES or LDMBENCH_RAY_RESOURCES, or add nodes"
            )
    return found


def team_of(worker: RayWorker, nodes: Sequence[Node], team: int) -> RayWorker:
    """Return what one actor asks for whose devices train one model together.

    Args:
        worker: on one device.
        nodes: of the cluster; all devices of a training are of one.
        team: number of devices.

    Raises:
        InputError: no node has as many.
    """
    unit = "GPU" if worker.device != "cpu" else "CPU"
    most = max((int(node.resources.get(unit, 0)) for node in nodes), default=0)
    times = {name: team * amount for name, amount in worker.resources.items()}
    if unit == "CPU":
        times["CPU"] = max(float(team), worker.resources.get("CPU", 0.0))
    found = RayWorker(worker.device, times, worker.threads)
    if not any(_fits(found, node) for node in nodes):
        raise InputError(
            f"--devices {team}: a model is trained on devices of one node, and no node of the Ray"
            f" cluster has {found.wish}; allowed: 1 to {max(1, most)}"
        )
    return found


def _kinds(nodes: Sequence[Node], *, ours: bool) -> list[str]:
    if ours:
        return devices_here()
    named = named_devices()
    if named is not None:
        return named
    gpus = int(sum(node.resources.get("GPU", 0) for node in nodes))
    return ["cuda"] * gpus or ["cpu"] * max(1, len(nodes))


def devices_here() -> list[str]:
    """Return the devices of this machine; unless named, Ray's workers do not share a processor.

    Raises:
        InputError: as `devices` does.
    """
    found = devices()
    return found if named_devices() is not None else list(dict.fromkeys(found))


def _share(nodes: Sequence[Node], *, gpu: bool, workers: int) -> int:
    """Return how many processors each worker can have when all are at work."""
    shares = []
    for node in nodes:
        gpus = node.resources.get("GPU", 0)
        if gpu and not gpus:
            continue
        beside = gpus if gpu else -(-workers // len(nodes))
        shares.append(int(node.resources.get("CPU", 0) // beside))
    return max(1, min(shares, default=1))


def _asked() -> dict[str, float]:
    text = os.environ.get("LDMBENCH_RAY_RESOURCES", "")
    try:
        found = json.loads(text or "{}")
        return {str(name): float(amount) for name, amount in found.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"LDMBENCH_RAY_RESOURCES: found '{text}'; allowed: a JSON object of amounts per"
            ' worker, such as {"CPU": 4, "GPU": 1}'
        ) from None


def _fits(worker: RayWorker, node: Node) -> bool:
    return all(node.resources.get(name, 0) >= n for name, n in worker.resources.items())


def _shown(resources: Mapping[str, float]) -> str:
    hidden = ("node:", "memory", "object_store_memory")
    return ", ".join(f"{k} {v:g}" for k, v in resources.items() if not k.startswith(hidden))
