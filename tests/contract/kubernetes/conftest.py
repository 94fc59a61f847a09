"""A Kubernetes API, ours or another's, and the clients that drive it.

Ours is started, unless this folder is named on pytest's command line and `$KUBECONFIG` is set: then that cluster is
driven. A run of all tests never touches somebody's cluster. All that is made is named by chance and removed again.

The newest kubectl that is found drives it; all of them with `KERYX_ALL_KUBECTLS=1` or `--soak`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import kubectls
from support.api_server import ApiServer
from support.cluster import Cluster, config_map, definition
from support.terminal import Terminal

from events.app.manifests.roles import NAMESPACE

_NUMBERS = itertools.count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kubectl" in metafunc.fixturenames:
        found = [(version, path) for version, path in kubectls.found().items() if int(version.split(".")[1]) >= 27]
        if not (metafunc.config.getoption("--soak") or os.environ.get("KERYX_ALL_KUBECTLS") == "1"):
            found = found[-1:]
        ids, commands = zip(*(found or [("none", None)]), strict=True)
        metafunc.parametrize("kubectl", commands, ids=ids, indirect=True)


def _is_named(config: pytest.Config) -> bool:
    """Whether the command line asks for this folder or a part of it."""
    here = Path(__file__).parent
    paths = (Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args)
    return any(path == here or here in path.parents for path in paths)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server with an administrator's kubeconfig."""
    given = os.environ.get("KUBECONFIG")
    if given and _is_named(request.config):
        yield Cluster(given, is_ours=False)
        return
    server = ApiServer(tmp_path_factory.mktemp("server"))
    asyncio.run(server.start())
    yield Cluster(str(server.kubeconfig), is_ours=True)
    assert asyncio.run(server.stop()) == 0
    assert not [line for line in server.process.lines if line["level"] == "error"]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of its own for each test."""
    name = f"keryx-{secrets.token_hex(4)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    cluster.until_there("v1", "ServiceAccount", "default", name)
    yield name
    cluster.delete("v1", "Namespace", name)


@pytest.fixture(scope="session")
def group(cluster: Cluster) -> Iterator[str]:
    """An API group with the definition `widgets`."""
    name = f"g{secrets.token_hex(4)}.example.com"
    made = cluster.create(definition(name))
    cluster.until_served(f"{name}/v1", "Widget")
    yield name
    cluster.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", made["metadata"]["name"])


@pytest.fixture
def home(cluster: Cluster) -> Iterator[str]:
    """The namespace of the installation, on a cluster that has neither it nor our definitions."""
    definition = cluster.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "sensors.argoproj.io")
    if definition is not None or cluster.get("v1", "Namespace", NAMESPACE) is not None:
        pytest.skip("something is installed there already")
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield NAMESPACE
    cluster.delete("v1", "Namespace", NAMESPACE)
    cluster.until_gone("v1", "Namespace", NAMESPACE)


@pytest.fixture
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, namespace: str, tmp_path: Path) -> Terminal:
    """A terminal in the namespace of the test."""
    if request.param is None:
        pytest.skip("no kubectl from 1.27 on is on this machine")
    return Terminal(request.param, cluster.kubeconfig, tmp_path, namespace)


@pytest.fixture
def settings(kubectl: Terminal) -> Callable[..., str]:
    """Writes a file with a ConfigMap."""

    def write(name: str = "settings", data: dict[str, str] | None = None, **labels: str) -> str:
        return kubectl.write(f"{name}-{next(_NUMBERS)}.yaml", config_map(name, data, **labels))

    return write


@pytest.fixture
def later() -> Callable[[Callable[[], Any]], Any]:
    """The first true value of what is asked again and again."""

    def ask(question: Callable[[], Any], seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < deadline, "did not happen"
            time.sleep(0.05)
        return answer

    return ask
