"""The volumes of a pod as files and folders of this machine, and where its containers see them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from events.errors import KeryxError
from events.local.kubelet import environment
from events.local.kubelet.processes import Mount
from events.local.kubelet.sources import Sources, Token

Object = dict[str, Any]
Files = dict[str, tuple[bytes, int]]
"""Path below the volume -> content and mode."""

_DATA = "..data"
_MODE = 0o644
_TOKEN_SECONDS = 3600


class VolumeError(KeryxError):
    """A volume cannot be made now; what it needs may come."""


class Volumes:
    """All volumes of one pod, below one folder."""

    def __init__(self, pod: Object, folder: Path, sources: Sources) -> None:
        self._pod, self._folder, self._sources = pod, folder, sources
        self._places: dict[str, Path] = {}
        self._tokens: dict[str, Token] = {}

    async def prepare(self, pod: Object) -> None:
        """Make what is missing, and write again what has changed. Raises VolumeError naming the volume."""
        self._pod = pod
        for volume in pod["spec"].get("volumes") or ():
            self._places[volume["name"]] = await self._make(volume)

    @property
    def is_live(self) -> bool:
        """Whether some of it follows objects that may change, or tokens that expire."""
        kinds = ("configMap", "secret", "projected", "downwardAPI")
        return any(volume.get(kind) for volume in self._pod["spec"].get("volumes") or () for kind in kinds)

    def place(self, name: str) -> Path | None:
        """Where a volume is on this machine."""
        return self._places.get(name)

    def mounts(self, container: Object, env: Mapping[str, str]) -> list[Mount]:
        """Those of a container, outer ones first. Raises VolumeError."""
        found = []
        for one in container.get("volumeMounts") or ():
            source = self._places.get(one["name"])
            if source is None:
                raise VolumeError(f'volume "{one["name"]}" is not one of the pod')
            below = one.get("subPath") or environment.expand(one.get("subPathExpr") or "", env)
            if below:
                source = _below(source, below)
            found.append(Mount(str(source), os.path.normpath(one["mountPath"]), bool(one.get("readOnly"))))
        return sorted(found, key=lambda mount: mount.target.count("/") if mount.target != "/" else 0)

    async def _make(self, volume: Object) -> Path:
        name: str = volume["name"]
        if host := volume.get("hostPath"):
            return _host_path(host, name)
        if claim := volume.get("persistentVolumeClaim"):
            return await self._claimed(claim["claimName"])
        place = self._folder / name
        place.mkdir(parents=True, exist_ok=True)
        known = ("configMap", "secret", "projected", "downwardAPI")
        kind = next((one for one in known if volume.get(one) is not None), None)
        if kind is None:
            if "emptyDir" in volume or set(volume) == {"name"}:
                place.chmod(0o777)
                return place
            others = ", ".join(sorted(set(volume) - {"name"}))
            raise VolumeError(f'volume "{name}": {others} volumes cannot be made on this node')
        source = volume[kind]
        default = source.get("defaultMode")
        try:
            parts = source.get("sources") or () if kind == "projected" else ({kind: source},)
            files: Files = {}
            for index, part in enumerate(parts):
                files |= await self._files(part, f"{name}/{index}", _MODE if default is None else default)
        except environment.ConfigError as error:
            raise VolumeError(f'volume "{name}": {error}') from error
        write(place, files)
        return place

    async def _files(self, part: Object, key: str, mode: int) -> Files:
        for kind, at in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if (source := part.get(kind)) is not None:
                return await self._of_entries(at, source, mode)
        if (source := part.get("downwardAPI")) is not None:
            return {
                item["path"]: (self._downward(item).encode(), item.get("mode") or mode)
                for item in source.get("items") or ()
            }
        if (source := part.get("serviceAccountToken")) is not None:
            token = self._tokens.get(key)
            if token is None or time.time() > token.renew_at:
                seconds = source.get("expirationSeconds") or _TOKEN_SECONDS
                token = self._tokens[key] = await self._sources.token(self._pod, source.get("audience") or "", seconds)
            return {source["path"]: (token.text.encode(), 0o600)}
        raise environment.ConfigError(f"{', '.join(sorted(part))} cannot be projected on this node")

    def _downward(self, item: Object) -> str:
        if item.get("fieldRef"):
            return environment.field_of(self._pod, item["fieldRef"]["fieldPath"])
        return environment.resource_of(self._pod, {}, item["resourceFieldRef"])

    async def _of_entries(self, kind: str, source: Object, mode: int) -> Files:
        name = source.get("secretName") or source.get("name") or ""
        it = await self._sources.find(kind, name)
        if it is None:
            if source.get("optional"):
                return {}
            raise environment.ConfigError(f'{kind.lower()} "{name}" not found')
        data = environment.data_of(it)
        if not source.get("items"):
            return {key: (value, mode) for key, value in data.items()}
        missing = [one["key"] for one in source["items"] if one["key"] not in data]
        if missing and not source.get("optional"):
            raise environment.ConfigError(f"{kind.lower()} references non-existent config key: {missing[0]}")
        return {
            one["path"]: (data[one["key"]], one.get("mode") or mode) for one in source["items"] if one["key"] in data
        }

    async def _claimed(self, name: str) -> Path:
        claim = await self._sources.find("PersistentVolumeClaim", name)
        if claim is None:
            raise VolumeError(f'persistentvolumeclaim "{name}" not found')
        volume = claim["spec"].get("volumeName")
        if not volume or (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeError(f'persistentvolumeclaim "{name}" is not bound yet')
        found = await self._sources.volume(volume)
        path = (((found or {}).get("spec") or {}).get("hostPath") or {}).get("path")
        if not path:
            raise VolumeError(f'persistentvolume "{volume}" is no folder of this machine (hostPath)')
        return _folder(Path(path))


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _host_path(source: Object, name: str) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(exist_ok=True)
    checks = {"Directory": path.is_dir, "File": path.is_file, "Socket": path.is_socket, "": path.exists}
    if not checks.get(kind, path.exists)():
        raise VolumeError(f'volume "{name}": hostPath type check failed: {path} is not a {kind.lower() or "path"} here')
    return path


def _below(place: Path, below: str) -> Path:
    """A part of a volume, made as a folder when it is missing. Raises VolumeError for one that leads out."""
    found = place / below
    if os.path.isabs(below) or ".." in Path(below).parts:
        raise VolumeError(f'subPath "{below}" must be relative and may not contain ".."')
    if not found.exists():
        found.mkdir(parents=True)
    real = found.resolve()
    if not real.is_relative_to(place.resolve()):
        raise VolumeError(f'subPath "{below}" leads out of the volume')
    return real


def write(place: Path, files: Files) -> bool:
    """Show these files in a folder, all changed at once; whether anything changed.

    They lie in a hidden folder that `..data` points to, as a kubelet does it: who reads while they change sees the old
    or the new ones.
    """
    data = place / _DATA
    wanted = {os.path.normpath(path): content for path, content in files.items()}
    if data.is_dir() and _read(data) == {path: content for path, (content, _) in wanted.items()}:
        return False
    folder = place / f"..{time.time_ns()}"
    folder.mkdir(parents=True)
    for path, (content, mode) in wanted.items():
        if path.startswith(("/", "..")):
            raise VolumeError(f'the path "{path}" leads out of the volume')
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
    former = data.resolve() if data.is_symlink() else None
    link = place / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(data)
    tops = {path.split("/")[0] for path in wanted}
    for top in tops:
        if not (place / top).is_symlink():
            (place / top).symlink_to(f"{_DATA}/{top}")
    for entry in place.iterdir():
        if not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
    if former is not None:
        shutil.rmtree(former, ignore_errors=True)
    return True


def _read(data: Path) -> dict[str, bytes]:
    real = data.resolve()
    return {str(file.relative_to(real)): file.read_bytes() for file in real.rglob("*") if file.is_file()}
