"""The main job on one machine: a POST becomes a Workflow, and a whale says what was posted.

`make demo` runs it. It starts `keryx up` (API server, node, controllers, no container), applies `examples/walkthrough`,
posts one message and shows the log of the Workflow that results. Exit code 0 only when the whale says the message.
Nothing is left behind, also after Ctrl-C.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from events import yamls
from events.errors import KeryxError
from events.kube import conditions, objects, patches
from events.kube.client import KubeClient

HERE = Path(__file__).parent
WALK_THROUGH = HERE / "walkthrough"
NAMESPACE = "argo-events"
URL = "http://localhost:9100/example"
MESSAGE = "this is my first webhook"
SECONDS = 120.0
KERYX = Path(sys.executable).parent / "keryx"


def main() -> int:
    """Run the demo; the exit code."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 9100)) == 0:
            print("the demo needs port 9100, where somebody listens (ss -ltnp 'sport = :9100')", file=sys.stderr)
            return 1
    with tempfile.TemporaryDirectory(prefix="keryx-demo-") as data:
        told = ("up", "--data", data, "--log-level", "error")
        print("$ keryx up")
        up = subprocess.Popen([str(KERYX), *told], start_new_session=True)
        try:
            kubeconfig = Path(data) / "kubeconfig"
            name, phase = asyncio.run(demonstrate(up, kubeconfig))
            return 0 if phase == "Succeeded" and says(kubeconfig, name) else 1
        except (KeryxError, OSError, TimeoutError) as error:
            print(f"the demo failed: {error or 'it took too long'}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            up.terminate()
            up.wait(60)


async def demonstrate(up: subprocess.Popen[bytes], kubeconfig: Path) -> tuple[str, str]:
    """What a newcomer would type; name and phase of the Workflow."""
    async with asyncio.timeout(SECONDS):
        began = time.monotonic()
        await until(up, "keryx up", lambda: is_file(kubeconfig))
        print(f"ready after {time.monotonic() - began:.1f} s\n")
        api = KubeClient(str(kubeconfig))
        try:
            await apply(api)
            for kind in ("EventBus", "EventSource", "Sensor"):
                await until(up, kind, lambda kind=kind: is_ready(api, kind))
            print(f"bus, source and sensor are ready after {time.monotonic() - began:.1f} s\n")
            await until(up, URL, post)
            workflow = await until(up, "a Workflow", lambda: ended(api))
            name, phase = workflow["metadata"]["name"], workflow["status"]["phase"]
            print(f"$ kubectl get wf -n {NAMESPACE}\n{name}   {phase}\n\n$ keryx wf logs -n {NAMESPACE} {name}")
            return name, phase
        finally:
            await api.aclose()


def says(kubeconfig: Path, name: str) -> bool:
    """Print the Workflow's log; whether the message is in it."""
    command = [str(KERYX), "wf", "logs", "--kubeconfig", str(kubeconfig), "-n", NAMESPACE, name]
    log = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    print(log.stdout or log.stderr)
    return MESSAGE in log.stdout


async def until(up: subprocess.Popen[bytes], what: str, look: Callable[[], Awaitable[Any]]) -> Any:
    """The first true answer of `look`."""
    while not (found := await look()):
        if up.poll() is not None:
            raise KeryxError(f"keryx up has ended while {what} was waited for")
        await asyncio.sleep(0.1)
    return found


async def is_file(path: Path) -> bool:
    """Whether it is there: `keryx up` writes its kubeconfig when it is ready."""
    return await asyncio.to_thread(path.is_file)


async def apply(api: KubeClient) -> None:
    """The namespace and the objects of the walk-through."""
    await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for file in sorted(WALK_THROUGH.glob("*.yaml")):
        print(f"$ kubectl apply -n {NAMESPACE} -f {file.relative_to(HERE.parent)}")
        for raw in yamls.load_all(file.read_text(encoding="utf-8")):
            await api.patch(
                await api.resource(*objects.kind_of(raw)),
                raw["metadata"]["name"],
                raw,
                content_type=patches.APPLY,
                namespace=NAMESPACE,
                params={"fieldManager": "demo"},
            )
    print()


async def is_ready(api: KubeClient, kind: str) -> bool:
    """Whether all of the kind are."""
    found = await api.list(await api.resource("argoproj.io/v1alpha1", kind), namespace=NAMESPACE)
    return all(map(conditions.ready, found["items"]))


async def post() -> bool:
    """POST the message; whether the endpoint has listened."""
    body = json.dumps({"message": MESSAGE})
    try:
        async with aiohttp.ClientSession() as session, session.post(URL, json={"message": MESSAGE}) as answer:
            print(f"$ curl -d '{body}' -H 'Content-Type: application/json' -X POST {URL}")
            print(f"{answer.status} {await answer.text()}\n")
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def ended(api: KubeClient) -> dict[str, Any] | None:
    """The Workflow, once it has come to its end."""
    found = await api.list(await api.resource("argoproj.io/v1alpha1", "Workflow"), namespace=NAMESPACE)
    phases = ("Succeeded", "Failed", "Error")
    return next((one for one in found["items"] if (one.get("status") or {}).get("phase") in phases), None)


if __name__ == "__main__":
    sys.exit(main())
