"""The controllers there are, by the names that logs, metrics and labels know them by. Contract: sensors F.1.

A new one is a row: what it is made from is in `Surroundings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from eventbus import configuration
from eventbus.configuration import Configuration
from eventbus.controller import EventBusController
from events import mounted
from events.app import manager
from events.app.manager import Options, Row, Surroundings
from events.app.watched_file import WatchedFile
from events.kube.api import KubeApi
from events.kube.applying import Applier
from events.kube.informer import Informers
from events.kube.recording import Recorder
from events.logs import Log
from events.problems import Problem
from events.settings import Settings
from eventsources.controller import EventSourceController
from sensors.controller import SensorController


def rows(configured: Callable[[], Configuration]) -> Mapping[str, Row]:
    """Name -> how it is made. `configured` gives what the configuration file says now."""
    return {
        "eventbus-controller": lambda shared: EventBusController(*_usual(shared), configured, log=shared.log),
        "eventsource-controller": lambda shared: EventSourceController(
            *_usual(shared), shared.pods, log=shared.log, reports=shared.reports
        ),
        "sensor-controller": lambda shared: SensorController(
            *_usual(shared), shared.pods, log=shared.log, reports=shared.reports
        ),
    }


async def run(options: Options, settings: Settings, version: str) -> int:
    """Run them all until SIGTERM; the exit code."""
    log = Log("controller")

    def warn(problems: Iterable[Problem]) -> None:
        for problem in problems:
            log.warning("The configuration has something without effect", problem=str(problem))

    file = WatchedFile(
        Path(mounted.where(str(options.config_file))),
        lambda text: configuration.parse(text, warn),
        configuration.shipped,
        log,
    )
    return await manager.run(rows(lambda: file.current), options, settings, version, following=[file])


def _usual(shared: Surroundings) -> tuple[KubeApi, Informers, Applier, Recorder]:
    return shared.api, shared.informers, shared.applier, shared.recorder
