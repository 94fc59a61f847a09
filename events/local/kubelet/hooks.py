"""postStart and preStop: what a container wants done right after its start, and before its end."""

from __future__ import annotations

import asyncio
from typing import Any

from events.errors import KeryxError
from events.local.kubelet import probes
from events.local.kubelet.probes import Exec

Object = dict[str, Any]

_SECONDS = 3600.0
"""The deadline of a hook is its pod's; this one is for a pod that has none."""


async def run(hook: Object, container: Object, address: str, execute: Exec) -> str:
    """What went wrong; empty when nothing did."""
    try:
        if pause := hook.get("sleep"):
            await asyncio.sleep(float(pause.get("seconds") or 0))
            return ""
        if command := hook.get("exec"):
            code, said = await execute(list(command.get("command") or ()), _SECONDS)
            return f"the hook ended with exit code {code}: {said[:1024]}" if code else ""
        good, why = await probes.look(hook, container, address, execute, _SECONDS)
    except (KeryxError, OSError) as error:
        return str(error)
    return "" if good else why
