"""`keryx logs` on pods that run, beside the real kubectl."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import kubectls
from support.keryx import COMMAND
from support.machine import Machine, machine, shell
from support.verbs import Typist

pytestmark = [
    pytest.mark.skipif(not kubectls.found(), reason="no kubectl on this machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="the node is Linux first"),
    pytest.mark.timeout(300),
]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine(tmp_path) as found:
        yield found


@pytest.fixture
def typist(here: Machine, tmp_path: Path) -> Typist:
    return Typist(here.kubeconfig, tmp_path)


async def test_logs_are_those_of_kubectl(here: Machine, typist: Typist) -> None:
    two = shell("two", "for i in 1 2 3; do echo line $i; done; echo wrong >&2; sleep 600")
    two["spec"]["containers"].append({"name": "side", "image": "busybox", "command": ["sh", "-c", "echo s; sleep 600"]})
    again = shell("again", "echo once; exit 3", policy="OnFailure")
    await here.apply(two, shell("done", "printf '\\377 no text, no end'"), again)
    await here.phase("done", "Succeeded")
    await here.until(
        lambda it: it["status"]["phase"] == "Running" and len(it["status"]["containerStatuses"]) == 2, "pod", "two"
    )
    await here.until(lambda it: it["status"]["containerStatuses"][0]["restartCount"], "pod", "again")
    for words in (
        *("two", "two --tail 2", "two -c side", "two side", "pod/two", "two --timestamps", "two --since 1h", "done"),
        *("again --previous", "two --all-containers --prefix", "-l app=two --all-containers --prefix"),
    ):
        theirs, ours = await asyncio.gather(
            typist.run(kubectls.newest() or "", "logs", *words.split()), typist.run(COMMAND, "logs", *words.split())
        )
        assert (ours.code, ours.out) == (0, theirs.out), words
    said = await typist.run(COMMAND, "logs", "two")
    assert said.err == 'Defaulted container "main" out of: main, side\n'
    assert "container x is not valid for pod two (one of main, side)" in await typist.keryx(
        "logs", "two", "-c", "x", code=2
    )
    assert 'pods "nope" not found' in await typist.keryx("logs", "nope", code=1)
    assert "serviceaccount/default has no pods" in await typist.keryx("logs", "serviceaccount/default", code=2)
    assert "previous terminated container" in await typist.keryx("logs", "two", "--previous", code=1)


async def test_logs_of_several_pods_are_followed_until_the_last_has_ended(here: Machine, typist: Typist) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "template": {"spec": shell("x", "echo a; sleep 2; echo b")["spec"]},
        },
    }
    await here.apply(job)
    await here.until(lambda it: it["status"].get("active") == 2, "job", "j")
    out = await typist.keryx("logs", "-f", "job/j")
    lines = [line.partition("] ") for line in out.splitlines()]
    assert sorted(text for _, _, text in lines) == ["a", "a", "b", "b"]
    assert len({prefix for prefix, _, _ in lines}) == 2
    assert all(prefix.startswith("[pod/j-") and prefix.endswith("/main") for prefix, _, _ in lines)


async def test_a_log_is_followed_until_ctrl_c(here: Machine, typist: Typist) -> None:
    await here.apply(shell("talks", "while :; do echo on; sleep 0.2; done", policy="Always"))
    process = await typist.begin(COMMAND, "logs", "-f", "talks")  # perhaps before it has begun
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert [await process.stdout.readline() for _ in range(3)] == [b"on\n"] * 3
    process.send_signal(2)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
