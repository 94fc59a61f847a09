"""`keryx up` and its kin: everything on one machine."""

from __future__ import annotations

import gc
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from events import logs
from events.app.cli.guard import FAILED, guarded, show
from events.errors import UserError

if TYPE_CHECKING:
    from events.app.local.display import Display
    from events.app.local.place import Place, State

_DATA = Path(".keryx/up")
Data = Annotated[Path, typer.Option(help="Where everything is kept.", envvar="KERYX_DATA")]
_LEVELS = ("debug", "info", "warn", "error")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, status, reset, kubeconfig):
        app.command(command.__name__)(guarded(command))


def _level(text: str) -> str:
    if text.lower() not in _LEVELS:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_LEVELS)}")
    return text.lower()


def up(
    data: Data = _DATA,
    port: Annotated[int, typer.Option(help="Of the API server; 0: as the last time.", min=0, max=65535)] = 0,
    crash_backoff: Annotated[
        float, typer.Option(help="Seconds before a container that failed twice is started again.", min=0.1)
    ] = 10.0,
    log_level: Annotated[
        str, typer.Option(help=f"{', '.join(_LEVELS)}.", callback=_level, envvar="KERYX_LOG_LEVEL")
    ] = "info",
    refresh: Annotated[
        float, typer.Option(help="Seconds between two looks at what volumes follow: ConfigMaps, Secrets.", min=0.1)
    ] = 60.0,
    images: Annotated[
        Path | None, typer.Option(help="What stands in for your own images; images.yaml of --data.", exists=True)
    ] = None,
    runtime: Annotated[
        str, typer.Option(help="process, docker or podman: what runs images that nothing stands in for.")
    ] = "process",
    mounts: Annotated[
        str, typer.Option(help="auto, or none: as where no mount namespaces are allowed.", envvar="KERYX_MOUNTS")
    ] = "auto",
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="In the background; returns once it is ready.")
    ] = False,
) -> int:
    """A whole Kubernetes on this machine: API server, workloads, and a node whose pods are processes."""
    from events import process
    from events.app.local.display import Display
    from events.app.local.place import Place

    place, display = Place(data), Display()
    if mounts not in ("auto", "none"):
        raise UserError(f"{mounts!r} is neither auto nor none", path="--mounts")
    if detach:
        options = ["--port", str(port), "--crash-backoff", str(crash_backoff), "--log-level", log_level]
        options += ["--refresh", str(refresh), "--mounts", mounts, "--runtime", runtime]
        options += ["--images", str(images)] if images else []
        return _detach(place, options, display)
    is_shown = sys.stderr.isatty() and log_level == "info"
    if not is_shown:
        logs.set_up(log_level)
    else:
        place.check()
        logs.set_up(log_level, place.log.open("a"))
        display.parts([("program", None, "")])
    gc.disable()  # what is imported now stays: to look through it again and again would take a quarter of a second
    from events.app.local import terminal
    from events.app.local import up as upping
    from events.app.local.options import Options

    gc.enable()
    chosen = Options(data, port, crash_backoff, refresh=refresh, images=images, has_mounts=mounts == "auto")
    chosen = replace(chosen, runtime="" if runtime == "process" else runtime)
    if is_shown:
        return process.start(lambda: terminal.run(chosen, display))
    return process.start(lambda: upping.run(chosen, upping.Watcher()))


def _detach(place: Place, options: list[str], display: Display) -> int:
    from events.app.local import life

    begun = time.monotonic()

    def stepped(state: State | None) -> None:
        display.parts(state.steps if state is not None and state.steps else [("program", None, "")])

    try:
        state = life.detach(place, options, stepped)
    finally:
        display.end()
    display.parts(state.steps)
    path = place.kubeconfig.absolute()
    if sys.stdout.isatty() and sys.stderr.isatty():
        display.ready(
            seconds=time.monotonic() - begun,
            url=state.url,
            data=place.data.absolute(),
            kubeconfig=path,
            notes=state.notes,
            pid=state.pid,
        )
        return 0
    for note in state.notes:
        display.line(f"note: {note}")
    show(f"ready: export KUBECONFIG={path}  (pid {state.pid}, {state.url})")
    return 0


def down(data: Data = _DATA) -> int:
    """Stop what `keryx up` started, with all its pods; they go on at the next start."""
    from events.app.local import life
    from events.app.local.place import Place

    show(life.down(Place(data)))
    return 0


def status(data: Data = _DATA) -> int:
    """Whether it runs, where, and what is not ready; exit code 1: not running, 3: not ready or without an answer."""
    from events.app.local import status as telling
    from events.app.local.place import Place

    code, rows = telling.status(Place(data))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        show(f"{name.ljust(width)}  {value}")
    return code


def reset(data: Data = _DATA, *, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> int:
    """Remove everything that it keeps: objects, keys, volumes of claims."""
    from events.app.local import life
    from events.app.local.place import Place

    if not yes and not typer.confirm(f"Remove all objects and volumes in {data}?"):
        return FAILED
    show(life.reset(Place(data)))
    return 0


def kubeconfig(data: Data = _DATA) -> int:
    """Print the path of the administrator's kubeconfig."""
    from events.app.local.place import Place

    path = Place(data).kubeconfig.absolute()
    if not path.exists():
        raise UserError("there is none yet", path=str(path), cure="start it with `keryx up`")
    show(str(path))
    return 0


def data() -> Path:
    """The data directory unless one is given."""
    return Path(os.environ.get("KERYX_DATA") or _DATA)


def up_logs(data: Path, *, follow: bool) -> int:
    """Print what one in the background said, and go on if it is followed."""
    from events.app.local.place import Place

    path = Place(data).log
    if not path.exists():
        raise UserError(
            "there is none", path=str(path), cure="one in the foreground, off a terminal, writes to its stderr"
        )
    with path.open("rb") as file:
        while True:
            piece = file.read(64 * 1024)
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            if not piece:
                if not follow:
                    return 0
                time.sleep(0.2)
