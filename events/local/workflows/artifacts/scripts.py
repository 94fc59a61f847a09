"""The lines of a pod's script that bring artifacts in and take them out: plain `sh`, and `tar`. Pure.

What lies in the local store is read and written by the pod itself. What lies in a bucket or at a URL, and zips, are
fetched by whoever carries out the Workflow before the pod is made (to `inputs/`), and stored when it has ended (from
`artifacts/`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events.local.workflows.artifacts import locations
from events.local.workflows.artifacts.locations import Location
from events.local.workflows.artifacts.stores import path_of
from events.local.workflows.errors import WorkflowError

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Fetch:
    """What is to lie at `target` before a pod is made."""

    name: str
    location: Location
    target: Path
    archive: Object
    inner: str = ""
    is_optional: bool = False
    lists: bool = False
    """The keys below are what is wanted, as a JSON list."""


@dataclass(frozen=True)
class Save:
    """What a pod leaves at `source`, to be stored."""

    name: str
    location: Location
    source: Path
    zips: bool = False


def place_of(template: Object) -> Object:
    """Where artifacts lie that do not say so; without a place, the local store."""
    found: Object = template.get("archiveLocation") or {}
    return found


def fetches(template: Object, folder: Path, *, all_stored: bool = False) -> list[Fetch]:
    """The inputs that somebody else brings; `all_stored`: those of the local store, too."""
    found = []
    for one in (template.get("inputs") or {}).get("artifacts") or ():
        location = locations.of_input(one, place_of(template))
        if location is not None and (all_stored or not location.is_local or _is_zip(one, location)):
            inner, archive = str(one.get("subPath") or ""), one.get("archive") or {}
            target = folder / "inputs" / one["name"]
            found.append(Fetch(one["name"], location, target, archive, inner, bool(one.get("optional"))))
    return found


def _is_zip(artifact: Object, location: Location) -> bool:
    return (artifact.get("archive") or {}).get("zip") is not None or location.key.endswith(".zip")


def saves(template: Object, folder: Path) -> list[Save]:
    """The outputs that somebody else takes; `folder` is that of the life of the pod."""
    found = []
    for one in (template.get("outputs") or {}).get("artifacts") or ():
        location, zips = locations.of_output(one, place_of(template)), _zips(one)
        if not location.is_local or zips:
            found.append(Save(one["name"], location, folder / "artifacts" / _staged(one), zips))
    return found


def _zips(artifact: Object) -> bool:
    return (artifact.get("archive") or {}).get("zip") is not None


def _staged(artifact: Object) -> str:
    """The path below `artifacts/`: the name of a zip's one entry follows from it."""
    if _zips(artifact):
        return f"{artifact['name']}/{Path(str(artifact['path'])).name}"
    return f"{artifact['name']}/{locations.file_name(artifact)}"


def quoted(path: Any) -> str:
    """As the shell reads it."""
    return shlex.quote(str(path))


_q = quoted


# --- inputs


def fetching(template: Object, folder: Path, store: Path, files: dict[Path, str]) -> list[str]:
    """Lines before the command; contents of raw artifacts are added to `files`."""
    found = []
    brought = {one.name: one.target for one in fetches(template, folder)}
    for one in (template.get("inputs") or {}).get("artifacts") or ():
        path, name = str(one.get("path") or ""), one["name"]
        if name in brought:
            lines = [f"rm -rf {_q(path)} && cp -r {_q(brought[name])} {_q(path)}"]
            if one.get("optional"):
                lines = [f"if [ -e {_q(brought[name])} ]; then {lines[0]}; fi"]
        else:
            lines = _fetch(one, path, folder, store, files, place_of(template))
        if not lines and not one.get("optional"):
            raise WorkflowError(f"input artifact {name} has no location")
        if lines:
            found.append(f'mkdir -p "$(dirname {_q(path)})"')
            found += [f"{line} || {{ echo 'artifact {name} cannot be fetched' >&2; exit 64; }}" for line in lines]
            if one.get("mode") is not None:
                flag = "-R " if one.get("recurseMode") else ""
                found.append(f"[ ! -e {_q(path)} ] || chmod {flag}{int(one['mode']):o} {_q(path)}")
    return found


def _fetch(one: Object, path: str, folder: Path, store: Path, files: dict[Path, str], place: Object) -> list[str]:
    if one.get("raw") is not None:
        source = folder / f"raw-{one['name']}"
        files[source] = str(one["raw"].get("data", ""))
        return [f"cp {_q(source)} {_q(path)}"]
    if one.get("git"):
        return _cloned(one["git"], path, one["name"])
    location = locations.of_input(one, place)
    if location is None:
        return []
    source = store / path_of(location.key)
    lines = _unpacked(source, path, str(one.get("subPath") or ""), one.get("archive") or {})
    return [f"if [ -e {_q(source)} ]; then {' && '.join(lines)}; fi"] if one.get("optional") else lines


def _cloned(git: Object, path: str, name: str) -> list[str]:
    for key in ("usernameSecret", "passwordSecret", "sshPrivateKeySecret"):
        if git.get(key):
            raise WorkflowError(f"input artifact {name}: git.{key} is not available here; only public repositories are")
    options = ["--quiet", *(["--depth", str(int(git["depth"]))] if git.get("depth") else [])]
    options += ["--single-branch"] if git.get("singleBranch") else []
    options += ["--branch", str(git["branch"])] if git.get("branch") else []
    options += [] if git.get("disableSubmodules") else ["--recurse-submodules", "--shallow-submodules"]
    words = " ".join(_q(one) for one in (*options, git.get("repo", ""), path))
    lines = [f"GIT_TERMINAL_PROMPT=0 git clone {words}"]
    return lines + ([f"git -C {_q(path)} checkout --quiet {_q(git['revision'])}"] if git.get("revision") else [])


def _unpacked(source: Path, path: str, inner: str, archive: Object) -> list[str]:
    if not source.name.endswith(".tgz") or archive.get("none") is not None:
        return [f"cp -r {_q(source / inner if inner else source)} {_q(path)}"]
    unpack = f'rm -rf "$d/unpacked" && mkdir "$d/unpacked" && tar -xzf {_q(source)} -C "$d/unpacked"'
    entry = f'"$d/unpacked"/*/{shlex.quote(inner)}' if inner else '"$d/unpacked"/*'
    return [unpack, f"rm -rf {_q(path)} && cp -r {entry} {_q(path)}"]


# --- outputs


def saving(template: Object, store: Path) -> list[str]:
    """Lines after the command; `$d` is the folder of the life of the pod."""
    found, outputs = [], template.get("outputs") or {}
    for one in outputs.get("parameters") or ():
        path = (one.get("valueFrom") or {}).get("path")
        if path:
            found.append(f'[ -e {_q(path)} ] && cp {_q(path)} "$d/parameters/{one["name"]}"')
    for one in outputs.get("artifacts") or ():
        path, location = Path(str(one["path"])), locations.of_output(one, place_of(template))
        target = f'"$d"/artifacts/{_q(_staged(one))}'
        if location.is_local and not _zips(one):
            target = _q(store / path_of(location.key))
        saved = f"rm -rf {target} && cp -rp {_q(path)} {target}"
        if not _zips(one) and (one.get("archive") or {}).get("none") is None:
            saved = f'tar -czf "$d/new.tgz" -C {_q(path.parent)} {_q(path.name)} && mv "$d/new.tgz" {target}'
        found.append(f'[ -e {_q(path)} ] && mkdir -p "$(dirname {target})" && {saved}')
    return found
