"""policy: what counts as success, which resource a kind is, and what the k8s trigger does (`policy_execute`)."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from conformance.areas import policy_execute
from conformance.core import Case, Error, Outcome, attempt, judge, recorded
from support.kube_server import KubeServer

from events.errors import KeryxError
from events.kube import objects
from events.kube.api import Resource
from events.kube.client import KubeClient
from sensors import kubernetes_objects, policies
from sensors.base import Result


def run(case: Case) -> Outcome:
    """Compare with upstream."""
    given = case.input
    if given["op"] == "status":
        result = Result(value=None, status=given["status"])
        return judge(case, attempt(lambda: policies.check_status(given["allow"], result)))
    if given["op"] == "gvr":
        return judge(case, asyncio.run(looked_up(case)), {"K3": as_served}, wanted=usable(case))
    return policy_execute.run(case)


def usable(case: Case) -> Any:
    """Upstream's guess, unless it leads nowhere: without a version there is nothing to ask the server for."""
    guess = recorded(case)
    return guess if guess.get("version") else Error("no version")


def as_served(case: Case) -> Any:
    """K3: what the API server calls it."""
    resource = served(case)
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def served(case: Case) -> Resource:
    """What the server has: upstream's guess where it is right, else a plural that nobody would guess."""
    guess = recorded(case)
    plural = guess["resource"] if case.flaw != "K3" else case.input["object"]["kind"].lower()
    return Resource(guess["group"], guess["version"], plural, case.input["object"]["kind"], namespaced=True)


async def looked_up(case: Case) -> Any:
    """The resource that the client makes of an object, by asking a server on a socket."""
    with tempfile.TemporaryDirectory() as folder:
        async with KubeServer() as server:
            if recorded(case).get("version"):
                server.kube.register(served(case))
            client = KubeClient(kubeconfig=server.kubeconfig(Path(folder) / "config"))
            try:
                obj = kubernetes_objects.parse(json.dumps(case.input["object"]))
                resource = await client.resource(*objects.kind_of(obj))
            except KeryxError as error:
                return Error(str(error))
            finally:
                await client.aclose()
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}
