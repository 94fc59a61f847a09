"""The commands that pods run, without any parser: `keryx sensor-service`, `eventsource-service`, `webhook-service`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from events import logs, settings
from events.errors import UserError
from events.version import VERSION

USAGE = 2
_COMMANDS = ("eventsource-service", "sensor-service", "webhook-service")


def is_plain(arguments: Sequence[str]) -> bool:
    """Whether this is a pod's service with nothing to parse."""
    return len(arguments) == 1 and arguments[0] in _COMMANDS


def main(command: str, path: Path | None = None) -> int:
    """Run a service; `path` is a file to take the object from. The exit code."""
    try:
        read = settings.read()
        logs.set_up(read.log_level)
        from events import process

        if command == "webhook-service":
            from events.app.admission import service

            return process.start(lambda: service.run(read, VERSION))
        from events.app import services

        serve = services.sensor if command == "sensor-service" else services.event_source
        configured = services.with_object(read, path) if path else read
        return process.start(lambda: serve(configured, VERSION))
    except UserError as error:
        print(f"keryx: {error}", file=sys.stderr)  # noqa: T201
        return USAGE
