"""The controllers there are, by the names that logs, metrics and labels know them by. Contract: sensors F.1.

A new one is a row: what it is made from is in `Surroundings`.
"""

from __future__ import annotations

from collections.abc import Mapping

from events.app.manager import Row, Surroundings
from events.kube.api import KubeApi
from events.kube.applying import Applier
from events.kube.informer import Informers
from events.kube.recording import Recorder
from eventsources.controller import EventSourceController
from sensors.controller import SensorController


def rows() -> Mapping[str, Row]:
    """Name -> how it is made."""
    return {
        "eventsource-controller": lambda shared: EventSourceController(*_usual(shared), shared.pods, log=shared.log),
        "sensor-controller": lambda shared: SensorController(*_usual(shared), shared.pods, log=shared.log),
    }


def _usual(shared: Surroundings) -> tuple[KubeApi, Informers, Applier, Recorder]:
    return shared.api, shared.informers, shared.applier, shared.recorder
