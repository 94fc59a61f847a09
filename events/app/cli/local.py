"""`keryx up` and its kin: everything on one machine."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from events import logs
from events.app.cli.guard import FAILED, guarded, show
from events.errors import UserError

_DATA = Path(".keryx/up")
Data = Annotated[Path, typer.Option(help="Where everything is kept.", envvar="KERYX_DATA")]
_LEVELS = ("debug", "info", "warn", "error")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, status, reset, kubeconfig, up_logs):
        name = "logs" if command is up_logs else command.__name__
        app.command(name)(guarded(command))


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
    mounts: Annotated[
        str, typer.Option(help="auto, or none: as where no mount namespaces are allowed.", envvar="KERYX_MOUNTS")
    ] = "auto",
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="In the background; returns once it is ready.")
    ] = False,
) -> int:
    """A whole Kubernetes on this machine: API server, workloads, and a node whose pods are processes."""
    from events.app.local.place import Place

    if mounts not in ("auto", "none"):
        raise UserError(f"{mounts!r} is neither auto nor none", path="--mounts")
    if detach:
        from events.app.local import life

        told = ["--port", str(port), "--crash-backoff", str(crash_backoff), "--log-level", log_level]
        told += ["--refresh", str(refresh), "--mounts", mounts]
        state = life.detach(Place(data), told)
        show(f"ready: export KUBECONFIG={Place(data).kubeconfig.absolute()}  (pid {state.pid}, {state.url})")
        return 0
    from events import process
    from events.app.local import up as upping

    logs.set_up(log_level)
    options = upping.Options(data, port, crash_backoff, refresh=refresh, has_mounts=mounts == "auto")
    return process.start(lambda: upping.run(options))


def down(data: Data = _DATA) -> int:
    """Stop what `keryx up` started, with all its pods; they go on at the next start."""
    from events.app.local import life
    from events.app.local.place import Place

    show(life.down(Place(data)))
    return 0


def status(data: Data = _DATA) -> int:
    """Whether it runs, and where; exit code 1 when it does not."""
    from events.app.local import life
    from events.app.local.place import Place

    rows = list(life.status(Place(data)))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        show(f"{name.ljust(width)}  {value}")
    return 0 if Place(data).state() is not None else FAILED


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


def up_logs(
    data: Data = _DATA, *, follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on.")] = False
) -> int:
    """Print what one in the background said; pods have `kubectl logs`."""
    from events.app.local.place import Place

    path = Place(data).log
    if not path.exists():
        raise UserError("there is none", path=str(path), cure="one in the foreground writes to its terminal")
    with path.open("rb") as file:
        while True:
            piece = file.read(64 * 1024)
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            if not piece:
                if not follow:
                    return 0
                time.sleep(0.2)
