"""Runs a plan over a Ray cluster: one long-lived actor per device, fed in plan order."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ldmbench.errors import InputError, StageError
from ldmbench.execute.devices import speed_machines
from ldmbench.execute.execution import Listener, Result, run_plan
from ldmbench.execute.host import Host, code_here, look, read_soon, settle
from ldmbench.execute.ray_workers import (
    LOCAL,
    Node,
    RayWorker,
    address,
    devices_here,
    local_size,
    ray_workers,
    team_of,
)
from ldmbench.execute.runner import Event, LostError, Runner
from ldmbench.schema.stage import Plan
from ldmbench.schema.task import Task
from ldmbench.store.disk import Store

__all__ = ["execute", "require"]

OBJECT_STORE = 100 * 2**20
"""Bytes of Ray's shared memory on a cluster of our own: only events pass through it."""
NODE_SECONDS = 120.0
"""How long a node may take to say what it is; its first worker process must start."""
CONNECT_SECONDS = 10.0
FREE_WORKER_SECONDS = 60.0
"""How long a worker may wait for resources of the cluster before ldmbench warns."""
PASSED_ON = ("LDMBENCH_", "HF_", "OMP_", "MKL_", "TORCH_", "CUBLAS_")
"""Beginnings of the variables that rule over a node's own; none that may hold a secret."""
ATTEMPTS = 2
"""Actors that may die before they say a word."""


def execute(
    plan: Plan,
    store: Store,
    *,
    listener: Listener,
    log: Path,
    team: int = 1,
    fresh: Iterable[str] = (),
    verify: bool = False,
) -> Result:
    """Make everything a plan asks for that is not in the store, over Ray.

    RAY_ADDRESS names the cluster; without it one is started on this machine for this run.

    Args:
        plan: what is asked.
        store: an open store, on a file system that every node shares.
        listener: receives progress.
        log: beside it lies one file per worker for what workers and libraries print.
        team: devices of one node that train one model.
        fresh: stage kinds, or kind/key beginnings, to make anew.
        verify: compare every digest in the store first.

    Raises:
        InputError: if Ray or its cluster is not there, or a node does not share store or code.
        InterruptError: after Ctrl-C; everything committed is kept.
        StoreError: if the store cannot be written.
    """
    store = Store(store.root.resolve())
    with _connected() as ray:
        ours = address() == LOCAL
        nodes = _nodes(ray)
        workers = ray_workers(nodes, ours=ours)
        together = team_of(workers[0], nodes, team)
        kinds = sorted({worker.device.partition(":")[0] for worker in workers})
        facts = [] if ours else _checked(ray, nodes, store, kinds)
        machines = [here for fact in facts for here in fact["machines"]]
        logs = log.resolve()
        runners = [
            _RayRunner(
                ray, worker, logs.with_name(f"{log.stem}-{n}.log"), listener.warned, together
            )
            for n, worker in enumerate(workers)
        ]
        return run_plan(
            plan,
            store,
            runners=runners,
            listener=listener,
            team=team,
            fresh=fresh,
            verify=verify,
            machines=speed_machines(devices_here()) if ours else machines,
        )


def require() -> str:
    """Return the cluster's address if there is any hope of reaching one.

    Raises:
        InputError: if Ray is not installed, if RAY_ADDRESS cannot be used, or, without it, if a
            device of this machine cannot.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            "--executor ray needs Ray, which is not installed: pip install 'ldmbench[ray]', or"
            " use --executor local"
        )
    where = address()
    if where == LOCAL:
        devices_here()
    return where


@contextlib.contextmanager
def _connected() -> Iterator[object]:
    """Join the cluster, or start one on this machine; leave it at the end.

    Ray's workers import from the folder in which it is started: an empty one, as long as it lives.
    """
    where = require()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    own: dict[str, Any] = {}
    if where == LOCAL:
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would falsify speeds
        own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE, **local_size()}
    elif where != "auto":
        _check_address(where)
    with tempfile.TemporaryDirectory(prefix="ldmbench-") as empty:
        with _signals_kept(), contextlib.chdir(empty):
            try:
                ray.init(address=where, log_to_driver=False, logging_level="ERROR", **own)
            except Exception as error:  # Ray raises bare ones when a part of it starts too slowly
                raise InputError(_unreachable(where, error)) from None
        try:
            yield ray
        finally:
            ray.shutdown()


def _check_address(where: str) -> None:
    """Refuse an address that does not answer; Ray itself would try for minutes."""
    host, _, port = where.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            return
    except (OSError, ValueError) as error:
        raise InputError(_unreachable(where, error)) from None


def _unreachable(where: str, error: Exception) -> str:
    why = " ".join(str(error).split())[:300]
    if where == LOCAL:
        return f"Ray did not start on this machine ({why}); use --executor local"
    return (
        f"RAY_ADDRESS: no Ray cluster answers at '{where}' ({why}); start one with `ray start"
        " --head`, or unset RAY_ADDRESS for one on this machine"
    )


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back the handler of SIGTERM, which Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _nodes(ray: Any) -> list[Node]:
    """Return the nodes that can work: those that live and have a processor."""
    return [
        Node(found["NodeID"], found["NodeManagerHostname"], dict(found["Resources"]))
        for found in ray.nodes()
        if found["Alive"] and found["Resources"].get("CPU", 0) >= 1
    ]


def _checked(
    ray: Any, nodes: Sequence[Node], store: Store, kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what every node says of itself and of its devices of these kinds.

    Raises:
        InputError: naming the first that does not answer, or has another store or code.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = store.root / "tmp" / f"probe-{uuid.uuid4().hex}"
    asked.write_text(asked.name, encoding="utf-8")
    answers = [asked.with_name(f"{asked.name}-{n}") for n in range(len(nodes))]
    try:
        facts = []
        calls = [
            ray.remote(look)
            .options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            )
            .remote(str(asked), str(answer), kinds)
            for node, answer in zip(nodes, answers)
        ]
        for node, answer, call in zip(nodes, answers, calls):
            facts.append(_fact(ray, node, call))
            _refuse_other(facts[-1], asked, answer, store)
        return facts
    finally:
        for path in (asked, *answers):
            path.unlink(missing_ok=True)


def _fact(ray: Any, node: Node, call: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = ray.get(call, timeout=NODE_SECONDS)
    except ray.exceptions.GetTimeoutError:
        raise InputError(
            f"node {node.name} gave no answer within {NODE_SECONDS:.0f} s; see `ray status`"
        ) from None
    except ray.exceptions.RayError as error:
        raise InputError(
            f"node {node.name} cannot run ldmbench ({_first_line(error)}); install the same"
            " version there as here"
        ) from None
    return found


def _refuse_other(fact: Mapping[str, Any], asked: Path, answer: Path, store: Store) -> None:
    node = fact["node"]
    same = fact["text"] == asked.name and not fact["trouble"]
    if not same or read_soon(answer) != asked.name:
        why = f" ({fact['trouble']})" if fact["trouble"] else ""
        raise InputError(
            f"node {node} does not share the store {store.root}{why}; put it with --store DIR on"
            " a file system that every node mounts at the same path"
        )
    if fact["code"] != code_here():
        raise InputError(
            f"node {node} has another ldmbench ({fact['versions']['ldmbench']}, code"
            f" {fact['code']}) than {socket.gethostname()} (code {code_here()}); install the same"
            " one on every node"
        )
    if fact["unusable"]:
        raise InputError(f"node {node}: {fact['unusable']}")


class _RayRunner(Runner):
    """An actor on one device of some node; a lost one is replaced where resources are free."""

    def __init__(
        self,
        ray: Any,
        worker: RayWorker,
        log: Path,
        warn: Callable[[str], None],
        together: RayWorker,
    ) -> None:
        super().__init__(worker.device)
        self._ray, self._worker, self._log, self._warn = ray, worker, log, warn
        self._together = together
        self._closed, self._node, self._patience = False, "", 0.0
        self._failed_starts = 0
        self._actor: Any = None
        self._called: Any = None
        self._begin()

    def is_ready(self) -> bool:
        """Tell whether the actor has its resources and lives.

        Raises:
            StageError: if one actor after the other dies before it says a word.
        """
        if self._node or self.resting:
            return bool(self._node)
        done, _ = self._ray.wait([self._called], timeout=0)
        if done:
            self._node = self._node_name()
        elif time.monotonic() > self._patience:
            self._patience = float("inf")
            self._warn(
                f"the Ray cluster has no free resources for a worker ({self._worker.wish}) yet;"
                " waiting (`ray status` shows what is in use)"
            )
        return bool(self._node)

    def _node_name(self) -> str:
        """Return the name of the actor's node, or nothing when it died before it could say."""
        try:
            name: str = self._ray.get(self._called)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS and not self._closed:
                raise StageError(
                    f"no worker can start in the Ray cluster ({_first_line(error)}); `ray status`"
                    " and Ray's own logs say more"
                ) from None
            self._begin()
            return ""
        self._failed_starts = 0
        return name

    def events(self, task: Task) -> Iterator[Event]:
        """Run a task and yield what is said of it."""
        try:
            yield from self._team(task) if task.devices > 1 else self._attempt(task)
        except self._ray.exceptions.RayTaskError as error:
            yield {"event": "failed", "message": f"on {self._node}: {_first_line(error)}"}
        except self._ray.exceptions.RayError as error:
            if self._closed:
                yield {"event": "failed", "message": "stopped"}
                return
            lost = f"the worker on {self._node} was lost ({_first_line(error)})"
            self._begin()
            raise LostError(lost) from None

    def rest(self) -> None:
        """End the actor, so that its resources are free."""
        super().rest()
        self._end()
        self._node = ""

    def wake(self) -> None:
        """Ask for an actor again."""
        super().wake()
        self._begin()

    def close(self) -> None:
        """End the actor; its worker process notices at once."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        if self._actor is not None:
            with contextlib.suppress(Exception):  # the cluster itself may be gone
                self._ray.kill(self._actor, no_restart=True)

    def _begin(self) -> None:
        """Ask for an actor; `is_ready` tells when there is one."""
        if self._closed or self.resting:
            return
        self._ask(self._worker, "SPREAD", devices=1)

    def _ask(self, worker: RayWorker, strategy: Any, *, devices: int) -> None:
        """Ask for an actor on one device or several of one node."""
        self._node, self._patience = "", time.monotonic() + FREE_WORKER_SECONDS
        self._actor = (
            self._ray.remote(Host)
            .options(max_restarts=0, scheduling_strategy=strategy, **worker.options)
            .remote(
                self.device,
                str(self._log),
                environment=_environment_passed_on(),
                folder=str(Path.cwd()),
                threads=worker.threads,
                devices=devices,
            )
        )
        self._called = self._actor.node.remote()

    def _team(self, task: Task) -> Iterator[Event]:
        """Run a training on several devices of one node, which a placement group reserves."""
        from ray.util.placement_group import placement_group, remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        group = placement_group([dict(self._together.resources)], strategy="STRICT_PACK")
        try:
            place = PlacementGroupSchedulingStrategy(placement_group=group)
            self._ask(self._together, place, devices=task.devices)
            self._node = self._ray.get(self._called)
            yield from self._attempt(task)
        finally:
            self._end()
            self._node = ""
            remove_placement_group(group)

    def _attempt(self, task: Task) -> Iterator[Event]:
        while not self.is_ready():
            if self._closed:
                yield {"event": "failed", "message": "stopped"}
                return
            time.sleep(0.2)
        said = self._actor.run.options(num_returns="streaming").remote(task.model_dump_json())
        for call in said:
            event = self._ray.get(call)
            yield self._arrived(event, task) if event["event"] == "done" else event

    def _arrived(self, event: Event, task: Task) -> Event:
        """Return a done event once what the node wrote is to be seen here."""
        if all(map(settle, (shard.output for shard in task.shards), event["files"])):
            return event
        return {
            "event": "failed",
            "message": f"files that {self._node} wrote to {task.output} are not visible here; is"
            " the store on a file system that every node shares?",
        }


def _environment_passed_on() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PASSED_ON) and "TOKEN" not in name
    }


def _first_line(error: Exception) -> str:
    """Return what a person needs of one of Ray's errors, which can run over a page."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0][:200] if lines else 'no message'}"
