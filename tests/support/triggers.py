"""What tests of triggers and artifacts share: a context with secrets in files, events, a firing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from events.credentials import Credentials
from events.event import Event
from events.logs import Log
from sensors.base import Firing, Result, Trigger, TriggerContext

SECRETS = {"user": "ada", "password": "pa:ss", "token": "t0ken"}


def secret(key: str, name: str = "creds") -> dict[str, str]:
    """A reference to one of `SECRETS`, or of those a test has written."""
    return {"name": name, "key": key}


def refuse() -> Any:
    raise AssertionError("not needed here")


def context(root: Path, http: Callable[[], Any] = refuse, secrets: Mapping[str, str] = SECRETS) -> TriggerContext:
    place = root / "secrets" / "creds"
    place.mkdir(parents=True, exist_ok=True)
    for key, value in secrets.items():
        (place / key).write_text(f"{value}\n")
    return TriggerContext("ns", "orders", "act", Log("test"), Credentials([root]), kube=refuse, http=http)


def firing(data: Any = None, identity: str = "f1") -> Firing:
    """A firing with one event of dependency `dep`."""
    text = json.dumps({"v": "x"} if data is None else data).encode()
    event = Event(id="1", source="hooks", type="webhook", subject="orders", data=text, time="2026-01-01T00:00:00Z")
    return Firing(identity, {"dep": event})


def value(key: str, dest: str, **more: Any) -> dict[str, Any]:
    return {"src": {"dependencyName": "dep", "dataKey": key, **more}, "dest": dest}


async def fire(trigger: Trigger[Any], one: Firing | None = None, **changed: Any) -> Result:
    """Fetch and execute; `changed` is what resource-level parameters would write."""
    resource = await trigger.fetch()
    if changed:
        resource = json.dumps(json.loads(resource) | changed)
    return await trigger.execute(resource, one or firing())
