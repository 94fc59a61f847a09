"""Scripts, parameters and artifacts, handed over through folders of this machine. Contract: workflows B.1, I.

`<place>` is a node's folder, `<store>` the artifacts of all. A pod that hands nothing over is left as it is. Others run
their command below a small script of ours (plain `sh`, as any image has it) that fetches inputs first, keeps what the
command prints, and puts outputs where the controller reads them. `planned` is pure; `write` and `collected` do files.
"""

from __future__ import annotations

import contextlib
import copy
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from events.local.workflows import gotexts, pods
from events.local.workflows.engine.templates import type_of
from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
MOST_RESULT = 256 * 1024
VOLUME = "keryx-handover"
TEMPLATE = "template.json"
POD_UID = "KERYX_POD_UID"
"""Names the folder of one life of a pod: a pod that is made again finds nothing of its predecessor."""
_ENTRYPOINTS: Mapping[str, tuple[str, ...]] = {"argosay": ("argosay",), "whalesay": ("cowsay",)}
"""Commands of images that have one of their own, where an author leaves it out."""
_REMOTE = ("gcs", "oss", "azure", "artifactory", "hdfs", "plugin")


@dataclass(frozen=True)
class Plan:
    """A pod as it is made, and the files that it needs."""

    pod: Object
    files: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Folders:
    """Where things lie."""

    place: Path
    store: Path


def planned(pod: Object, template: Mapping[str, Any], folders: Folders, *, keeps_result: bool) -> Plan:
    """The pod with its script; WorkflowError for what is not available."""
    kind = type_of(template)
    if kind == "data":
        raise WorkflowError("data templates are not available here")
    if kind == "resource":
        return _resource(pod, template, folders)
    is_set = kind == "containerSet"
    script = (template.get("script") or {}).get("source") or ""
    inputs, outputs = template.get("inputs") or {}, template.get("outputs") or {}
    has_io = inputs.get("artifacts") or outputs.get("artifacts") or outputs.get("parameters")
    if not (has_io or script or is_set or keeps_result or template.get("sidecars")):
        return Plan(pod)
    made, files = copy.deepcopy(pod), {folders.place / TEMPLATE: json.dumps(template)}
    mains = _main_names(template)
    for container in made["spec"]["containers"]:
        name = container["name"]
        run = folders.place / f"{name}.sh"
        if name in mains:
            files[run] = _main(name, template, pod, folders, files)
        else:
            files[run] = _sidecar(folders, mains)
        _below(container, run, folders)
    if script:
        files[folders.place / "script"] = script
    _mounted(made["spec"], folders)
    return Plan(made, files)


def _main_names(template: Mapping[str, Any]) -> list[str]:
    several = (template.get("containerSet") or {}).get("containers")
    return [one["name"] for one in several] if several else ["main"]


def _below(container: Object, run: Path, folders: Folders) -> None:
    """Run the container's command below a script."""
    command = list(container.get("command") or ())
    if not command:
        image = str(container.get("image", "")).partition(":")[0].rpartition("/")[2]
        command = list(_ENTRYPOINTS.get(image, ()))
        if not command and not container.get("args"):
            raise WorkflowError(f"container {container['name']}: command is required where outputs are handed over")
    container["command"] = ["sh", str(run), *command]
    if container.get("args"):
        script = str(folders.place / "script")
        container["args"] = [script if one == pods.SCRIPT else one for one in container["args"]]


def _mounted(spec: Object, folders: Folders) -> None:
    """The folders at the same path inside as outside, also where volumes cannot be mounted elsewhere."""
    spec["volumes"] = [*(spec.get("volumes") or ())]
    for number, folder in enumerate((folders.place, folders.store)):
        name = f"{VOLUME}-{number}"
        spec["volumes"].append({"name": name, "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"}})
        for container in spec["containers"]:
            if not number:
                uid = {"name": POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
                container["env"] = [*(container.get("env") or ()), uid]
            mount = {"name": name, "mountPath": str(folder)}
            container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _q(path: Any) -> str:
    return shlex.quote(str(path))


def _own(folders: Folders) -> str:
    """The line that names the folder of this life of the pod."""
    return f'd={_q(folders.place)}/"${POD_UID}"'


def _main(name: str, template: Mapping[str, Any], pod: Object, folders: Folders, files: dict[Path, str]) -> str:
    mains = _main_names(template)
    lines = ["set -u", _own(folders), 'mkdir -p "$d/parameters" "$d/codes"']
    lines += _waiting(name, template)
    is_last = name == "main" or len(mains) == 1
    if is_last:
        lines += _fetching(template, folders, files)
    lines += [
        f'rm -f "$d/{name}.out"',
        f'mkfifo "$d/{name}.out"',
        f'tee "$d/{name}.result" <"$d/{name}.out" & t=$!',
        f'"$@" >"$d/{name}.out" & c=$!',
        "trap 'kill -TERM $c 2>/dev/null' TERM INT",
        "wait $c; code=$?",
        "while kill -0 $c 2>/dev/null; do wait $c; code=$?; done",
        "wait $t",
    ]
    if is_last:
        lines += _saving(template, pod, folders)
    lines += [f'echo $code >"$d/codes/{name}.new" && mv "$d/codes/{name}.new" "$d/codes/{name}"', "exit $code"]
    return "\n".join(lines) + "\n"


def _waiting(name: str, template: Mapping[str, Any]) -> list[str]:
    """In a container set: until those before it have ended, and not at all when one of them failed."""
    found = []
    for one in (template.get("containerSet") or {}).get("containers") or ():
        if one["name"] == name:
            for before in one.get("dependencies") or ():
                code = f'"$d/codes/{before}"'
                found.append(f"while [ ! -e {code} ]; do sleep 0.1; done")
                given = f'echo $b >"$d/codes/{name}"; exit "$b"'
                found.append(f'b=$(cat {code}); if [ "$b" != 0 ]; then {given}; fi')
    return found


def _fetching(template: Mapping[str, Any], folders: Folders, files: dict[Path, str]) -> list[str]:
    found = []
    for one in (template.get("inputs") or {}).get("artifacts") or ():
        path, name = str(one.get("path") or ""), one["name"]
        lines = _fetch(one, name, path, folders, files)
        if not lines and not one.get("optional"):
            raise WorkflowError(f"input artifact {name} has no location")
        if lines:
            found.append(f'mkdir -p "$(dirname {_q(path)})"')
            found += [f"{line} || {{ echo 'artifact {name} cannot be fetched' >&2; exit 64; }}" for line in lines]
            if one.get("mode") is not None:
                flag = "-R " if one.get("recurseMode") else ""
                found.append(f"chmod {flag}{int(one['mode']):o} {_q(path)}")
    return found


def _fetch(one: Mapping[str, Any], name: str, path: str, folders: Folders, files: dict[Path, str]) -> list[str]:
    if one.get("raw") is not None:
        source = folders.place / f"raw-{name}"
        files[source] = str(one["raw"].get("data", ""))
        return [f"cp {_q(source)} {_q(path)}"]
    if one.get("http"):
        return [f"curl -fsSL -o {_q(path)} {_q(one['http'].get('url', ''))}"]
    if one.get("git"):
        git = one["git"]
        lines = [f"git clone -q {_q(git.get('repo', ''))} {_q(path)}"]
        return lines + ([f"git -C {_q(path)} checkout -q {_q(git['revision'])}"] if git.get("revision") else [])
    if one.get("s3"):
        if one["s3"].get("bucket") or one["s3"].get("endpoint"):
            raise WorkflowError(f"input artifact {name}: only the local store of artifacts is available, no bucket")
        return _unpacked(folders.store / _safe(one["s3"].get("key", "")), path, str(one.get("subPath") or ""))
    for key in _REMOTE:
        if one.get(key) is not None:
            raise WorkflowError(f"input artifact {name}: artifacts of {key} are not available here")
    return []


def _unpacked(source: Path, path: str, inner: str) -> list[str]:
    if not source.name.endswith(".tgz"):
        return [f"cp -r {_q(source / inner if inner else source)} {_q(path)}"]
    unpack = f'rm -rf "$d/unpacked" && mkdir "$d/unpacked" && tar -xzf {_q(source)} -C "$d/unpacked"'
    entry = f'"$d/unpacked"/*/{shlex.quote(inner)}' if inner else '"$d/unpacked"/*'
    return [unpack, f"rm -rf {_q(path)} && cp -r {entry} {_q(path)}"]


def _safe(key: str) -> Path:
    """A key as a path below the store."""
    parts = [part for part in Path(key).parts if part not in ("/", "..", ".")]
    return Path(*parts) if parts else Path("unnamed")


def key_of(artifact: Mapping[str, Any], workflow: str, pod: str) -> str:
    """Where an output artifact is stored."""
    own = (artifact.get("s3") or {}).get("key")
    if own:
        return str(own)
    is_plain = (artifact.get("archive") or {}).get("none") is not None
    name = Path(str(artifact["path"])).name if is_plain else f"{artifact['name']}.tgz"
    return f"{workflow}/{pod}/{name}"


def _saving(template: Mapping[str, Any], pod: Object, folders: Folders) -> list[str]:
    found, outputs = [], template.get("outputs") or {}
    workflow = pod["metadata"]["labels"][f"{pods.LABELS}workflow"]
    for one in outputs.get("parameters") or ():
        path = (one.get("valueFrom") or {}).get("path")
        if path:
            found.append(f'[ -e {_q(path)} ] && cp {_q(path)} "$d/parameters/{one["name"]}"')
    for one in outputs.get("artifacts") or ():
        if (one.get("s3") or {}).get("bucket") or any(one.get(key) is not None for key in _REMOTE):
            raise WorkflowError(f"output artifact {one['name']}: only the local store of artifacts is available")
        path = Path(str(one["path"]))
        target = folders.store / _safe(key_of(one, workflow, pod["metadata"]["name"]))
        saved = f'tar -czf "$d/new.tgz" -C {_q(path.parent)} {_q(path.name)} && mv "$d/new.tgz" {_q(target)}'
        if not target.name.endswith(".tgz"):
            saved = f"rm -rf {_q(target)} && cp -r {_q(path)} {_q(target)}"
        found.append(f"[ -e {_q(path)} ] && mkdir -p {_q(target.parent)} && {saved}")
    return found


def _sidecar(folders: Folders, mains: list[str]) -> str:
    """Ended once the containers that do the work have."""
    waits = " && ".join(f'[ -e "$d/codes/{name}" ]' for name in mains)
    lines = [
        _own(folders),
        '"$@" & c=$!',
        "trap 'kill -TERM $c 2>/dev/null' TERM INT",
        f"( until {waits}; do sleep 0.2; done; kill -TERM $c 2>/dev/null ) &",
        "wait $c; code=$?",
        "while kill -0 $c 2>/dev/null; do wait $c; code=$?; done",
        f"if {waits}; then exit 0; fi",
        "exit $code",
    ]
    return "\n".join(lines) + "\n"


def _resource(pod: Object, template: Mapping[str, Any], folders: Folders) -> Plan:
    """A pod of ours that acts on the API with the account of the pod."""
    made = copy.deepcopy(pod)
    plan = folders.place / "resource.json"
    (main,) = [one for one in made["spec"]["containers"] if one["name"] == "main"]
    main["command"] = [sys.executable, "-P", "-m", "events.local.workflows.resource_pod", str(plan)]
    told = {
        "resource": template["resource"],
        "outputs": template.get("outputs") or {},
        "namespace": pod["metadata"]["namespace"],
        "owner": pod["metadata"]["ownerReferences"][0],
        "inputs": template.get("inputs") or {},
    }
    _mounted(made["spec"], folders)
    return Plan(made, {plan: json.dumps(told), folders.place / TEMPLATE: json.dumps(template)})


def write(files: Mapping[Path, str]) -> None:
    """Write what a pod needs; blocks."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def hands_over(pod: Mapping[str, Any]) -> bool:
    """Whether a pod was made by `planned` to leave outputs."""
    return any(one.get("name") == f"{VOLUME}-0" for one in (pod.get("spec") or {}).get("volumes") or ())


def collected(pod: Mapping[str, Any], folders: Folders) -> Object:
    """The outputs that a pod left; `problem` says what is missing. Blocks."""
    found: Object = {}
    try:
        template = json.loads((folders.place / TEMPLATE).read_text(encoding="utf-8"))
    except OSError:
        return {"problem": f"{folders.place} is gone, and with it the outputs"}
    workflow = pod["metadata"]["labels"][f"{pods.LABELS}workflow"]
    own = folders.place / str(pod["metadata"].get("uid", ""))
    outputs = template.get("outputs") or {}
    for one in outputs.get("parameters") or ():
        source = one.get("valueFrom") or {}
        if not any(source.get(key) for key in ("path", "jsonPath", "jqFilter")):
            continue
        value = _value(own / "parameters" / one["name"], source.get("default"))
        if value is None:
            where = source.get("path") or one["name"]
            found["problem"] = f"output parameter {one['name']}: {where} does not exist and there is no default"
            continue
        kept = {key: one[key] for key in ("name", "globalName", "description", "enum") if key in one}
        found.setdefault("parameters", []).append({**kept, "value": value})
    for one in outputs.get("artifacts") or ():
        key = key_of(one, workflow, pod["metadata"]["name"])
        if (folders.store / _safe(key)).exists():
            kept = {name: one[name] for name in ("name", "path", "globalName", "archive") if name in one}
            found.setdefault("artifacts", []).append({**kept, "s3": {"key": key}})
        elif not one.get("optional"):
            found["problem"] = f"output artifact {one['name']}: {one.get('path')} does not exist"
    result = _result(own / "main.result")
    if result is not None:
        found["result"] = result
    if codes := _codes(own / "codes"):
        found["codes"] = codes
    return found


def _codes(folder: Path) -> dict[str, int]:
    """How containers ended, by name; those that have not are not there."""
    found = {}
    with contextlib.suppress(OSError, ValueError):
        for file in folder.iterdir():
            if file.suffix != ".new":
                found[file.name] = int(file.read_text())
    return found


def _value(path: Path, default: Any) -> str | None:
    """A file's text without one trailing newline."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if default is None else gotexts.scalar(default).removesuffix("\n")
    return text.removesuffix("\n")


def _result(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_RESULT))
            return file.read().decode(errors="replace").removesuffix("\n")
    except OSError:
        return None
