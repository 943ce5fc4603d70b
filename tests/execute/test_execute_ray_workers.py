"""Which workers a Ray cluster is asked for."""

import pytest

from ldmbench.errors import InputError
from ldmbench.execute.ray_workers import (
    LOCAL,
    Node,
    RayWorker,
    address,
    local_size,
    ray_workers,
    team_of,
)

GPU_NODE = Node("a", "gpu", {"CPU": 16.0, "GPU": 4.0, "memory": 1e9, "node:1": 1.0})
CPU_NODE = Node("b", "cpu", {"CPU": 8.0, "big": 2.0})


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in ("LDMBENCH_DEVICES", "LDMBENCH_RAY_RESOURCES", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_every_gpu_gets_a_worker_and_its_share_of_the_processors():
    found = ray_workers([GPU_NODE, CPU_NODE], ours=False)
    assert [p.device for p in found] == ["cuda:0"] * 4
    assert found[0].options == {"num_cpus": 4.0, "num_gpus": 1.0, "resources": {}}
    assert found[0].threads == 4


def test_without_gpus_every_node_gets_one():
    found = ray_workers([CPU_NODE, Node("c", "other", {"CPU": 4.0})], ours=False)
    assert [(p.device, p.wish, p.threads) for p in found] == [("cpu", "CPU 4", 4)] * 2


def test_devices_may_be_named_by_kind(monkeypatch):
    monkeypatch.setenv("LDMBENCH_DEVICES", "cuda:0,cpu")
    assert [p.device for p in ray_workers([GPU_NODE], ours=False)] == ["cuda:0", "cpu"]


def test_resources_may_be_named(monkeypatch):
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu")
    monkeypatch.setenv("LDMBENCH_RAY_RESOURCES", '{"CPU": 2, "big": 1}')
    [place] = ray_workers([CPU_NODE], ours=False)
    assert place.options == {"num_cpus": 2.0, "num_gpus": 0, "resources": {"big": 1.0}}
    assert place.threads == 2


@pytest.mark.parametrize("text", ["CPU=2", "[1]", '{"CPU": "many"}'])
def test_resources_that_are_none(monkeypatch, text):
    monkeypatch.setenv("LDMBENCH_RAY_RESOURCES", text)
    with pytest.raises(InputError, match=r"found .* allowed: a JSON object of amounts"):
        ray_workers([CPU_NODE], ours=False)


def test_what_no_node_has_is_refused_at_once(monkeypatch):
    monkeypatch.setenv("LDMBENCH_DEVICES", "cuda")
    with pytest.raises(InputError, match=r"allowed: cpu, or a list like cuda:0"):
        ray_workers([CPU_NODE], ours=False)
    monkeypatch.setenv("LDMBENCH_DEVICES", "cuda:0")
    with pytest.raises(InputError, match=r"asks for CPU 1, GPU 1, and no node .*cpu: CPU 8, big 2"):
        ray_workers([CPU_NODE], ours=False)


def test_a_cluster_of_our_own_has_what_this_machine_has(monkeypatch):
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu")
    size = local_size()
    assert size["num_gpus"] == 0
    [place] = ray_workers([Node("a", "here", {"CPU": float(size["num_cpus"])})], ours=True)
    assert (place.device, place.threads) == ("cpu", 0)  # torch decides, as without Ray


def test_workers_of_our_own_cluster_do_not_share_a_processor(monkeypatch):
    monkeypatch.setattr("ldmbench.execute.ray_workers.devices", lambda: ["cpu"] * 3)
    assert [p.device for p in ray_workers([CPU_NODE], ours=True)] == ["cpu"]
    monkeypatch.setenv("LDMBENCH_DEVICES", "cpu,cpu,cpu")
    assert len(ray_workers([CPU_NODE], ours=True)) == 3


def test_address(monkeypatch):
    assert address() == LOCAL
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert address() == "head:6379"
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(InputError, match="allowed: HOST:PORT of the head node, auto, or unset"):
        address()


def test_the_devices_of_a_training_are_of_one_node():
    nodes = [Node(name, name, {"CPU": 8.0, "GPU": 4.0}) for name in ("a", "b")]
    worker = RayWorker("cuda:0", {"CPU": 2.0, "GPU": 1.0}, 2)
    assert team_of(worker, nodes, 4).resources == {"CPU": 8.0, "GPU": 4.0}
    with pytest.raises(InputError, match=r"--devices 5: .* on devices of one node, .*: 1 to 4"):
        team_of(worker, nodes, 5)
    alone = RayWorker("cpu", {"CPU": 8.0})
    assert team_of(alone, nodes, 2).resources == {"CPU": 8.0}
    with pytest.raises(InputError, match="allowed: 1 to 8"):
        team_of(alone, nodes, 9)
