"""What the node remembers of a container, so that its next life knows: one small file, replaced as a whole."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from events.local.kubelet.states import ContainerState


class Record:
    """The file of one container. A disk that refuses is no reason to stop: the API has most of it, too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, state: ContainerState, *, pid: int = 0, start: str = "", was_interrupted: bool = False) -> None:
        """As it is now. `was_interrupted`: it ended because the node did."""
        text = json.dumps(asdict(state) | {"pid": pid, "start": start, "was_interrupted": was_interrupted})
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            temporary.replace(self._path)

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None when that is nothing, or cannot be read."""
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def restore_in_place(state: ContainerState, found: dict[str, Any]) -> bool:
    """Take over what was saved; whether the container ran, or ended with the node."""
    state.state, state.last = found["state"], found["last"]
    state.restarts, state.container_id = int(found["restarts"]), found["container_id"]
    state.image = found["image"]
    return "running" in state.state or bool(found["was_interrupted"])
