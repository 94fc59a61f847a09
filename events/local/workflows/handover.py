"""Scripts, parameters and artifacts, handed over through folders of this machine. Contract: workflows B.1, I.

`<place>` is a node's folder, `<store>` the artifacts of all. A pod that hands nothing over is left as it is. Others run
their command below a small script of ours (plain `sh`, as any image has it) that fetches inputs first, keeps what the
command prints, and puts outputs where the controller reads them. `planned` is pure; `write` and `collected` do files.
"""

from __future__ import annotations

import contextlib
import copy
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from events.local.workflows import gotexts, pods
from events.local.workflows.artifacts import locations, scripts
from events.local.workflows.artifacts.scripts import Fetch, Save
from events.local.workflows.artifacts.stores import path_of
from events.local.workflows.engine.templates import type_of
from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
MOST_RESULT = 256 * 1024
VOLUME = "keryx-handover"
TEMPLATE, RESULT = "template.json", "main.result"
KEEPS_LOGS = "workflows.argoproj.io/archive-logs"
POD_UID = "KERYX_POD_UID"
"""Names the folder of one life of a pod: a pod that is made again finds nothing of its predecessor."""
_ENTRYPOINTS: Mapping[str, tuple[str, ...]] = {"argosay": ("argosay",), "whalesay": ("cowsay",)}
"""Commands of images that have one of their own, where an author leaves it out."""


@dataclass(frozen=True)
class Plan:
    """A pod as it is made, the files that it needs, and what is to be fetched for it."""

    pod: Object
    files: Mapping[Path, str] = field(default_factory=dict)
    fetches: Sequence[Fetch] = ()


@dataclass(frozen=True)
class Folders:
    """Where things lie."""

    place: Path
    store: Path


def planned(pod: Object, template: Mapping[str, Any], folders: Folders, *, keeps_result: bool) -> Plan:
    """The pod with its script; WorkflowError for what is not available."""
    kind = type_of(template)
    if kind == "data":
        return _data(pod, template, folders)
    if kind == "resource":
        return _resource(pod, template, folders)
    is_set = kind == "containerSet"
    script = (template.get("script") or {}).get("source") or ""
    inputs, outputs = template.get("inputs") or {}, template.get("outputs") or {}
    has_io = inputs.get("artifacts") or outputs.get("artifacts") or outputs.get("parameters")
    if not (has_io or script or is_set or keeps_result or template.get("sidecars")):
        return _with_logs(pod, template, folders) if _keeps_logs(template) else Plan(pod)
    made, files = copy.deepcopy(pod), {folders.place / TEMPLATE: json.dumps(template)}
    mains = _main_names(template)
    for container in made["spec"]["containers"]:
        name = container["name"]
        run = folders.place / f"{name}.sh"
        if name in mains:
            files[run] = _main(name, template, folders, files)
        else:
            files[run] = _sidecar(folders, mains)
        _below(container, run, folders)
    if script:
        files[folders.place / "script"] = script
    _mounted(made["spec"], folders)
    return Plan(made, files, scripts.fetches(template, folders.place))


def _keeps_logs(template: Mapping[str, Any]) -> bool:
    return bool(scripts.place_of(template).get("archiveLogs"))


def _with_logs(pod: Object, template: Mapping[str, Any], folders: Folders) -> Plan:
    """A pod that hands nothing over but its log, which needs no script."""
    meta = pod["metadata"]
    marked = {**pod, "metadata": {**meta, "annotations": {**meta.get("annotations", {}), KEEPS_LOGS: "true"}}}
    return Plan(marked, {folders.place / TEMPLATE: json.dumps(template)})


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


def _own(folders: Folders) -> str:
    """The line that names the folder of this life of the pod."""
    return f'd={scripts.quoted(folders.place)}/"${POD_UID}"'


def _main(name: str, template: Mapping[str, Any], folders: Folders, files: dict[Path, str]) -> str:
    mains = _main_names(template)
    lines = ["set -u", _own(folders), 'mkdir -p "$d/parameters" "$d/codes"']
    lines += _waiting(name, template)
    is_last = name == "main" or len(mains) == 1
    if is_last:
        lines += scripts.fetching(template, folders.place, folders.store, files)
    lines += [
        f'rm -f "$d/{name}.out"',
        f'mkfifo "$d/{name}.out"',
        f'tee "$d/{name}.result" <"$d/{name}.out" & t=$!',
        f'"$@" >"$d/{name}.out" & c=$!',
        "trap 'kill -TERM $c 2>/dev/null' TERM INT",
        "{ wait $c; code=$?; } 2>/dev/null",
        "while kill -0 $c 2>/dev/null; do { wait $c; code=$?; } 2>/dev/null; done",
        "wait $t",
    ]
    if is_last:
        lines += scripts.saving(template, folders.store)
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


def _sidecar(folders: Folders, mains: list[str]) -> str:
    """Ended once the containers that do the work have."""
    waits = " && ".join(f'[ -e "$d/codes/{name}" ]' for name in mains)
    lines = [
        _own(folders),
        '"$@" & c=$!',
        "trap 'kill -TERM $c 2>/dev/null' TERM INT",
        f"( until {waits}; do sleep 0.2; done; kill -TERM $c 2>/dev/null ) &",
        "{ wait $c; code=$?; } 2>/dev/null",
        "while kill -0 $c 2>/dev/null; do { wait $c; code=$?; } 2>/dev/null; done",
        f"if {waits}; then exit 0; fi",
        "exit $code",
    ]
    return "\n".join(lines) + "\n"


def _resource(pod: Object, template: Mapping[str, Any], folders: Folders) -> Plan:
    """A pod of ours that acts on the API with the account of the pod."""
    fetches = scripts.fetches(template, folders.place, all_stored=True)
    told = {
        "resource": template["resource"],
        "outputs": template.get("outputs") or {},
        "namespace": pod["metadata"]["namespace"],
        "owner": pod["metadata"]["ownerReferences"][0],
        "inputs": template.get("inputs") or {},
        "fetched": {one.name: str(one.target) for one in fetches},
    }
    return _ours("resource", told, pod, template, folders, fetches)


def _data(pod: Object, template: Mapping[str, Any], folders: Folders) -> Plan:
    """A pod of ours that sees the keys of an artifact's folder, and evaluates."""
    source = ((template["data"].get("source")) or {}).get("artifactPaths") or {}
    location = locations.of_input(source, scripts.place_of(template))
    if location is None:
        raise WorkflowError("a data template needs source.artifactPaths with the key of a folder in s3")
    keys = folders.place / "keys.json"
    told = {"transformation": template["data"].get("transformation") or [], "keys": str(keys)}
    listing = Fetch(str(source.get("name") or "artifactPaths"), location, keys, {}, lists=True)
    return _ours("data", told, pod, template, folders, [listing])


def _ours(
    kind: str, told: Object, pod: Object, template: Mapping[str, Any], folders: Folders, fetches: Sequence[Fetch]
) -> Plan:
    made = copy.deepcopy(pod)
    plan = folders.place / f"{kind}.json"
    (main,) = [one for one in made["spec"]["containers"] if one["name"] == "main"]
    main["command"] = [sys.executable, "-P", "-m", f"events.local.workflows.{kind}_pod", str(plan)]
    main["terminationMessagePolicy"] = "FallbackToLogsOnError"  # what went wrong is the node's message
    _mounted(made["spec"], folders)
    return Plan(made, {plan: json.dumps(told), folders.place / TEMPLATE: json.dumps(template)}, fetches)


def write(files: Mapping[Path, str]) -> None:
    """Write what a pod needs; blocks."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def hands_over(pod: Mapping[str, Any]) -> bool:
    """Whether a pod was made by `planned` to leave outputs, or its log."""
    if ((pod.get("metadata") or {}).get("annotations") or {}).get(KEEPS_LOGS):
        return True
    return any(one.get("name") == f"{VOLUME}-0" for one in (pod.get("spec") or {}).get("volumes") or ())


@dataclass(frozen=True)
class Left:
    """What a pod left: `report` for the engine, whose `problem` says what is missing; outputs and logs to be stored."""

    report: Object
    saves: Sequence[Save] = ()
    logs: Mapping[str, Save] = field(default_factory=dict)
    """By container."""


def collected(pod: Mapping[str, Any], folders: Folders) -> Left:
    """What a pod that has ended left. Blocks."""
    try:
        template = json.loads((folders.place / TEMPLATE).read_text(encoding="utf-8"))
    except OSError:
        return Left({"problem": f"{folders.place} is gone, and with it the outputs"})
    own = folders.place / str(pod["metadata"].get("uid", ""))
    saves, logs = scripts.saves(template, own), _logs(template, own)
    found = _parameters(template, own)
    artifacts = _artifacts(template, folders, {one.name: one for one in saves}, found)
    artifacts += [{"name": one.name, "s3": {"key": one.location.key}} for one in logs.values() if one.source.exists()]
    if artifacts:
        found["artifacts"] = artifacts
    result = _result(own / RESULT)
    if result is not None:
        found["result"] = result
    if codes := _codes(own / "codes"):
        found["codes"] = codes
    return Left(found, saves, logs)


def _logs(template: Mapping[str, Any], own: Path) -> dict[str, Save]:
    if not _keeps_logs(template):
        return {}
    place = scripts.place_of(template)
    found = {}
    for name in _main_names(template):
        fields = {**(place.get("s3") or {}), "key": f"{locations.prefix_of(place)}/{name}.log"}
        location = locations.located(fields, place)
        found[name] = Save(f"{name}-logs", location, own / "artifacts" / f"{name}-logs" / f"{name}.log")
    return found


def _parameters(template: Mapping[str, Any], own: Path) -> Object:
    found: Object = {}
    for one in (template.get("outputs") or {}).get("parameters") or ():
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
    return found


def _artifacts(template: Mapping[str, Any], folders: Folders, saves: Mapping[str, Save], found: Object) -> list[Object]:
    several = []
    for one in (template.get("outputs") or {}).get("artifacts") or ():
        location = locations.of_output(one, scripts.place_of(template))
        path = saves[one["name"]].source if one["name"] in saves else folders.store / path_of(location.key)
        if path.exists():
            several.append(locations.stored(one, location))
        elif not one.get("optional"):
            found["problem"] = f"output artifact {one['name']}: {one.get('path')} does not exist"
    return several


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
