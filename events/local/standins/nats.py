"""`nats.py SERVER ARGUMENTS…`: a nats-server that listens on its pod's address alone, so that many can run.

Where nothing can be mounted (`KERYX_ROOT`) it reads a copy of its configuration, with the machine's paths and with the
addresses of the cluster's other servers; the reloader writes the copy anew when something has changed.
"""

# ruff: noqa: S606  # becoming the server is its purpose
from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

_CLUSTER = re.compile(r"^\s*\"?cluster\"?\s*[:={]", re.MULTILINE)
_CLUSTER_PORT = 6222
_PATH = re.compile(r"(?<![\w./:$~+-])/[\w.$-]+(?:/[\w.$-]+)*")
_PID = re.compile(r"^\s*\"?pid_file\"?\s*[:=]?\s*\"?([^\"\s]+)", re.MULTILINE)
_ROUTES = re.compile(r"(\"?routes\"?\s*[:=]?\s*\[)([^\]]*)\]")
_ROUTE = re.compile(r"(nats(?:-route)?://(?:[^@\s,\"']*@)?)([A-Za-z][^:/\s,\"']*)(:\d+)")
_COPY, _ROOT = ".keryx-config", ".root"


def arguments(given: list[str], address: str, config: str, *, is_mounted: bool = True) -> list[str]:
    """What is given, and the addresses. `config`: the text of its file."""
    own = [] if {"-a", "--addr", "--net"} & set(given) else ["--addr", address]
    if _CLUSTER.search(config) and "--cluster_listen" not in given:
        own += ["--cluster_listen", f"nats://{address}:{_CLUSTER_PORT}"]
        if not is_mounted:  # a name is of no use to the others
            own += ["--cluster_advertise", f"{address}:{_CLUSTER_PORT}"]
    return [*given, *own]


def config_of(given: list[str]) -> str:
    """The file that is to be read; empty for none."""
    files = [value for option, value in pairwise(given) if option in ("-c", "--config", "-config")]
    files += [word.partition("=")[2] for word in given if word.startswith(("--config=", "-config=", "-c="))]
    return next((file for file in files if os.path.exists(file)), "")


def rewritten(text: str, names: Mapping[str, list[str]], environ: Mapping[str, str]) -> str:
    """With the machine's paths, and with addresses in routes.

    A route to itself keeps its name: by that the certificates of the others are checked. As many routes as there were
    remain, for JetStream counts them.
    """
    _find_ours()
    from events.mounted import where

    own = environ.get("POD_IP", "")

    def route(match: re.Match[str]) -> str:
        found = [one for one in names.get(match[2].lower(), ()) if one != own]
        return f"{match[1]}{found[0]}{match[3]}" if found else match[0]

    text = _PATH.sub(lambda match: where(match[0], environ), text)
    return _ROUTES.sub(lambda match: _ROUTE.sub(route, match[0]), text)


def copied(config: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    """The copy of a configuration, with what lies beside it: it may be included. All of it is written, or nothing."""
    _find_ours()
    from events.local.standins.site import sitecustomize

    names = sitecustomize.known(environ.get(sitecustomize.VARIABLE, ""))
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(one for one in config.parent.iterdir() if one.is_file()):
        try:
            text = rewritten(file.read_text(encoding="utf-8"), names, environ)
        except UnicodeDecodeError:
            continue
        fresh = folder / f"{file.name}.new"
        fresh.touch(mode=0o600)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(folder / file.name)
    return folder / config.name


def copied_again(config: Path, pid_file: Path, environ: Mapping[str, str]) -> Path:
    """By the reloader, which has fewer mounts than the server: those of the server count."""
    folder = folder_of_copy(pid_file)
    return copied(config, folder, {**environ, "KERYX_ROOT": (folder / _ROOT).read_text(encoding="utf-8")})


def folder_of_copy(pid_file: Path) -> Path:
    """Where server and reloader both find it: beside the file with the server's pid."""
    return pid_file.parent / _COPY


def _find_ours() -> None:
    ours = str(Path(__file__).parents[3])
    if ours not in sys.path:
        sys.path.insert(0, ours)


def _prepared(given: list[str], config: str, text: str) -> list[str]:
    """The arguments with the copy in place of the file."""
    _find_ours()
    from events.mounted import where

    told = _PID.search(text)
    pid = Path(where(told[1])) if told else Path(os.environ.get("HOME", "."), "nats.pid")
    folder = folder_of_copy(pid)
    copy = str(copied(Path(config), folder, os.environ))
    (folder / _ROOT).write_text(os.environ["KERYX_ROOT"], encoding="utf-8")
    return [word.replace(config, copy) if word.endswith(config) else word for word in given]


def main() -> None:
    """Entry point."""
    server, given, address = sys.argv[1], sys.argv[2:], os.environ.get("POD_IP", "127.0.0.1")
    config, is_mounted = config_of(given), "KERYX_ROOT" not in os.environ
    text = Path(config).read_text(encoding="utf-8", errors="replace") if config else ""
    if config and not is_mounted:
        given = _prepared(given, config, text)
    os.execv(server, [server, *arguments(given, address, text, is_mounted=is_mounted)])


if __name__ == "__main__":
    main()
