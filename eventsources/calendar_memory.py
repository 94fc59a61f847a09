"""What a calendar source remembers beyond its process, and what Argo Events left behind. Contract: eventsources 3.2."""

from __future__ import annotations

from datetime import datetime

import orjson

from eventbus.base import State
from events.errors import Conflict, EventError, Unknown, UserError
from events.event import now_text, parse_time
from events.kube.api import KubeError
from eventsources.base import SourceContext
from eventsources.calendar_times import parse_go_time

KEY = "last"


class LastSlot:
    """The last slot that was published, in the bus's state: RFC 3339 in UTC."""

    def __init__(self, state: State) -> None:
        self._state, self._revision = state, 0

    async def read(self) -> datetime | None:
        """None when there is none, or none that can be read."""
        entry = await self._state.get(KEY)
        self._revision = entry.revision if entry else 0
        try:
            return parse_time(entry.value.decode()) if entry else None
        except (EventError, UnicodeDecodeError):
            return None

    async def write(self, slot: datetime) -> None:
        """Keep `slot`, unless somebody else, who took over from us, has kept a later one."""
        value = now_text(slot).encode()
        try:
            self._revision = await self._state.update(KEY, value, self._revision)
        except (Conflict, Unknown):
            last = await self.read()
            if last is None:
                self._revision = await self._state.put(KEY, value)
            elif last < slot:
                self._revision = await self._state.update(KEY, value, self._revision)


async def former_slot(config_map: str, context: SourceContext) -> datetime | None:
    """When Argo Events published its last event, by its ConfigMap; None when it says nothing, which is logged.

    KubeError, ActionError when the API server may answer later: nothing is taken for missing that may be there.
    """
    log = context.log.bind(configMap=config_map)
    try:
        kube = context.kube()
    except UserError as error:
        log.info("There is no Kubernetes API to read the ConfigMap of the last event from", reason=error)
        return None
    try:
        found = await kube.get(await kube.resource("v1", "ConfigMap"), config_map, namespace=context.namespace)
    except KubeError as error:
        if error.status not in (403, 404):
            raise
        log.warning("The ConfigMap of the last event cannot be read; nothing is made up for", reason=error)
        return None
    text = (found.get("data") or {}).get(f"{context.source_name}.{context.event_name}")
    if text is None:
        log.info("The ConfigMap has no last event; nothing is made up for")
        return None
    try:
        last = parse_go_time(orjson.loads(text)["eventTime"])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, UserError) as error:
        log.warning("The last event in the ConfigMap cannot be read; nothing is made up for", reason=error)
        return None
    log.info("Going on from the last event in the ConfigMap; from now on it is kept in the bus's state", last=text)
    return last
