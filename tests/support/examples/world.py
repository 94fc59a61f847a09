"""One `keryx up` on which examples are applied with kubectl, with the services beside it that they speak to."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import nats
import yaml
from support.aws import Aws
from support.machine import Machine
from support.pubsub import Emulator

from eventbus import subjects
from events.event import Event, to_wire
from events.kube import conditions
from events.kube.api import KubeError
from events.kube.client import KubeClient

Object = dict[str, Any]
ROOT = Path(__file__).parents[3]
OURS = ROOT / "examples"
PUBLISHED = next(
    (found for above in ROOT.parents if (found := above / "shared/upstream-examples").is_dir()),
    ROOT.parent / "shared/upstream-examples",
)
ARGO = "argoproj.io/v1alpha1"
ENDED = ("Succeeded", "Failed", "Error")
_AT_ONCE, _FILES = 3, 8
"""Commands at a time; files of one."""


class World:
    """The machine, and what a test does and sees there. `outside` holds the test's own counterparts, by name."""

    def __init__(self, here: Machine, aws: Aws, google: Emulator | None = None, *, patience: float = 240.0) -> None:
        self.here, self.aws, self.google = here, aws, google
        self.api = KubeClient(str(here.kubeconfig))
        self.outside: dict[str, Any] = {}
        self.patience = patience
        self._kubectls = asyncio.Semaphore(_AT_ONCE)

    # ---- what somebody types

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What a kubectl says that succeeds."""
        async with self._kubectls:
            return await self.here.kubectl(*arguments, stdin=stdin)

    async def apply(self, namespace: str, *paths: Path, more: Iterable[str] = ()) -> str:
        """Files, as they are."""
        said = ""
        for begin in range(0, len(paths), _FILES):
            files = [word for path in paths[begin : begin + _FILES] for word in ("-f", str(path))]
            said += await self.kubectl("apply", "-n", namespace, *more, *files)
        return said

    async def put(self, namespace: str, *objects: Object) -> None:
        """Objects of the test's own."""
        await self.kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))

    async def patch(self, namespace: str, kind: str, name: str, change: Object) -> None:
        """A merge patch."""
        await self.kubectl("patch", "-n", namespace, kind, name, "--type=merge", "-p", json.dumps(change))

    async def secret(self, namespace: str, name: str, **data: str) -> None:
        await self.put(
            namespace, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        )

    async def service(self, namespace: str, name: str, port: int, address: str) -> None:
        """A name in the cluster for a server of the test's."""
        host, _, number = address.rpartition(":")
        metadata = {"name": name}
        subset = {"addresses": [{"ip": host}], "ports": [{"port": int(number)}]}
        await self.put(
            namespace,
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": port}]}},
            {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [subset]},
        )

    # ---- what is there

    async def until(self, look: Callable[[], Awaitable[Any]], what: Callable[[], Any]) -> Any:
        """The first true answer; `what()` says what it was waiting for."""
        deadline, pause = time.monotonic() + self.patience, 0.1
        while True:
            try:
                if found := await look():
                    return found
            except KubeError as error:
                if error.status != 404:
                    raise
            assert time.monotonic() < deadline, f"in vain: {what()}"
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 1.5)

    async def get(self, api_version: str, kind: str, name: str, namespace: str) -> Object:
        return await self.api.get(await self.api.resource(api_version, kind), name, namespace=namespace)

    async def list(self, api_version: str, kind: str, namespace: str, labels: str = "") -> list[Object]:
        resource = await self.api.resource(api_version, kind)
        found = await self.api.list(resource, namespace=namespace, label_selector=labels)
        return list(found["items"])

    async def told(self, namespace: str, kind: str, name: str, type_: str, *reasons: str) -> Object:
        """A condition of an EventBus, EventSource or Sensor, once it is of the present generation, and True or so."""
        last: list[Object] = []

        async def look() -> Object | None:
            found = await self.get(ARGO, kind, name, namespace)
            last[:] = conditions.all_of(found)
            now = [
                one
                for one in last
                if one["type"] == type_ and one.get("observedGeneration") == found["metadata"]["generation"]
            ]
            return next((one for one in now if one["status"] == "True" or one.get("reason") in reasons), None)

        it: Object = await self.until(look, lambda: f"{kind} {namespace}/{name} {type_} {reasons or True}: {last}")
        return it

    async def deployed(self, namespace: str, kind: str, *names: str) -> None:
        """Returns once the objects run as they are now, and what they were before does not: one pod each."""
        left: list[str] = []

        async def look() -> bool:
            found = {one["metadata"]["name"]: one for one in await self.list(ARGO, kind, namespace)}
            left[:] = [name for name in names if not _is_deployed(found.get(name))]
            if left or kind == "EventBus":
                return not left
            labels = f"controller={kind.lower()}-controller"
            counts = Counter(
                pod["metadata"]["labels"]["owner-name"] for pod in await self.list("v1", "Pod", namespace, labels)
            )
            left[:] = [name for name in names if counts[name] != 1]
            return not left

        await self.until(look, lambda: f"{kind} in {namespace}: {left}")

    async def pods(self, namespace: str, kind: str, name: str) -> list[Object]:
        """Of an EventSource or a Sensor."""
        return await self.list("v1", "Pod", namespace, f"controller={kind.lower()}-controller,owner-name={name}")

    async def log(self, namespace: str, kind: str, name: str) -> str:
        """What the pods of an object said."""
        texts = []
        for pod in await self.pods(namespace, kind, name):
            lines = self.api.logs(pod["metadata"]["name"], namespace=namespace, params={}, seconds=30)
            texts += [line.decode() async for line in lines]
        return "\n".join(texts)

    async def says(self, namespace: str, name: str, *texts: str, kind: str = "Sensor") -> str:
        """The log of an object once it has all these texts."""
        last = ""

        async def look() -> str:
            nonlocal last
            last = await self.log(namespace, kind, name)
            return last if all(text in last for text in texts) else ""

        found: str = await self.until(look, lambda: f"{texts} in the log of {name}: {last[-3000:]}")
        return found

    async def workflows(self, namespace: str, sensor: str, trigger: str = "") -> list[Object]:
        """Those that a sensor made."""
        labels = f"events.argoproj.io/sensor={sensor}" + (f",events.argoproj.io/trigger={trigger}" if trigger else "")
        return await self.list(ARGO, "Workflow", namespace, labels)

    async def succeeded(
        self,
        namespace: str,
        sensor: str,
        trigger: str = "",
        *,
        count: int = 1,
        says: str = "",
        before: Iterable[str] = (),
    ) -> list[Object]:
        """The Workflows of a sensor, once `count` have succeeded and none has not; one of their pods said that."""
        last: list[Any] = []

        async def look() -> list[Object]:
            found = await self.workflows(namespace, sensor, trigger)
            found = [one for one in found if one["metadata"]["name"] not in before]
            last[:] = [
                (one["metadata"]["name"], one.get("status", {}).get("phase"), one.get("status", {}).get("message"))
                for one in found
            ]
            return found if len(found) >= count and all(phase in ENDED for _, phase, _ in last) else []

        found: list[Object] = await self.until(look, lambda: f"{count} Workflows of {namespace}/{sensor}: {last}")
        assert {phase for _, phase, _ in last} == {"Succeeded"}, last
        if says:
            texts = [await self.said(one) for one in found]
            assert any(says in text for text in texts), (says, texts)
        return found

    async def said(self, workflow: Object) -> str:
        """What the pods of a Workflow said."""
        metadata = workflow["metadata"]
        texts = []
        for pod in await self.list(
            "v1", "Pod", metadata["namespace"], f"workflows.argoproj.io/workflow={metadata['name']}"
        ):
            params = {"container": "main"}
            lines = self.api.logs(pod["metadata"]["name"], namespace=metadata["namespace"], params=params, seconds=30)
            texts += [line.decode() async for line in lines]
        return "\n".join(texts)

    # ---- what happens

    async def post(self, namespace: str, source: str, port: int, path: str, body: Any, **headers: str) -> None:
        """To the pod of an EventSource; `localhost` may lead to another one."""

        async def look() -> str:
            found = [pod.get("status", {}).get("podIP") for pod in await self.pods(namespace, "EventSource", source)]
            return str(found[0]) if len(found) == 1 and found[0] else ""

        address = await self.until(look, lambda: f"a pod of {source}")
        url = f"http://{address}:{port}{path}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def publish(self, namespace: str, *events: tuple[str, str, Any]) -> None:
        """(source, event, data) on the bus of a namespace, in the place of sources."""
        secret = await self.get("v1", "Secret", "eventbus-default-js-client-auth", namespace)
        login = yaml.safe_load(base64.b64decode(secret["data"]["client-auth"]))
        pod = await self.get("v1", "Pod", "eventbus-default-js-0", namespace)
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        client = await nats.connect(
            f"tls://{pod['status']['podIP']}:4222", user=login["username"], password=login["password"], tls=unverified
        )
        try:
            for number, (source, name, data) in enumerate(events):
                stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                event = Event(
                    id=f"{source}-{name}-{number}-{time.monotonic()}",
                    source=source,
                    type="webhook",
                    subject=name,
                    time=stamp,
                    data=json.dumps(data).encode(),
                )
                await client.jetstream().publish(subjects.subject(source, name), to_wire(event), timeout=30)
        finally:
            await client.close()


def _is_deployed(obj: Object | None) -> bool:
    """Whether its status says so, of what it is now."""
    found = conditions.all_of(obj or {})
    return any(
        one["type"] == "Deployed"
        and one["status"] == "True"
        and (obj is None or one.get("observedGeneration") == obj["metadata"]["generation"])
        for one in found
    )
