"""Names without a DNS server: the hosts file that a pod sees, with services as its namespace names them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Object = dict[str, Any]

DOMAIN = "cluster.local"
_HEADLESS = "None"
_API, _API_HOME = "kubernetes", "default"


def base(text: str) -> str:
    """The machine's own file, without what pods must not see twice."""
    return text.rstrip("\n") + "\n" if text.strip() else "127.0.0.1 localhost\n"


def lines(services: Iterable[Object], pods: Iterable[Object], namespace: str, server: str) -> list[str]:
    """A line for each address: of a service, or of the pods behind one that has none. `server`: of the API."""
    running = list(pods)
    found = [_line(server, _names(_API, _API_HOME, namespace))]
    for it in sorted(services, key=lambda one: (one["metadata"].get("namespace", ""), one["metadata"]["name"])):
        spec, metadata = it.get("spec") or {}, it["metadata"]
        names = _names(metadata["name"], metadata.get("namespace", ""), namespace)
        if (metadata["name"], metadata.get("namespace")) == (_API, _API_HOME):
            continue
        if spec.get("clusterIP") == _HEADLESS:
            found += _of_pods(it, running, names)
        elif spec.get("clusterIP"):
            found.append(_line(spec["clusterIP"], names))
    return found


def _of_pods(service: Object, pods: Iterable[Object], names: list[str]) -> Iterator[str]:
    metadata, spec = service["metadata"], service["spec"]
    selector = spec.get("selector") or {}
    for pod in pods:
        address = (pod.get("status") or {}).get("podIP")
        if not address or not is_selected(pod, selector, metadata.get("namespace", "")):
            continue
        if not (spec.get("publishNotReadyAddresses") or is_ready(pod)):
            continue
        own = []
        if pod["spec"].get("subdomain") == metadata["name"]:
            host = pod["spec"].get("hostname") or pod["metadata"]["name"]
            own = [f"{host}.{name}" for name in names]
        yield _line(address, [*own, *names])


def labels_of(pod: Object) -> Iterator[str]:
    """What an informer finds pods by that services may stand before: those that have ended are left out."""
    metadata = pod["metadata"]
    if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
        for key, value in (metadata.get("labels") or {}).items():
            yield f"{metadata.get('namespace', '')}/{key}={value}"


def candidates(services: Iterable[Object], found_by: Callable[[str], Iterable[Object]]) -> list[Object]:
    """The pods that have at least one label of these services' selectors."""
    found: dict[str, Object] = {}
    for it in services:
        for key, value in list(((it.get("spec") or {}).get("selector") or {}).items())[:1]:
            for pod in found_by(f"{it['metadata'].get('namespace', '')}/{key}={value}"):
                found.setdefault(pod["metadata"].get("uid") or pod["metadata"]["name"], pod)
    return list(found.values())


def is_selected(pod: Object, selector: Mapping[str, str], namespace: str) -> bool:
    """Whether a service with this selector stands before the pod; one without a selector has no pods."""
    metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
    if not selector or metadata.get("namespace") != namespace or phase in ("Succeeded", "Failed"):
        return False
    labels = metadata.get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def is_ready(pod: Object) -> bool:
    """Whether it says so."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _names(name: str, home: str, namespace: str) -> list[str]:
    short = [name] if home == namespace else []
    return [*short, f"{name}.{home}", f"{name}.{home}.svc", f"{name}.{home}.svc.{DOMAIN}"]


def _line(address: str, names: Iterable[str]) -> str:
    return f"{address}\t{' '.join(names)}"


def of_pod(pod: Object, address: str) -> list[str]:
    """What a pod's own object adds: its name, and the aliases it asks for."""
    spec, metadata = pod["spec"], pod["metadata"]
    host = spec.get("hostname") or metadata["name"]
    names = [host]
    if spec.get("subdomain"):
        names.insert(0, f"{host}.{spec['subdomain']}.{metadata['namespace']}.svc.{DOMAIN}")
    aliases = [_line(one["ip"], one.get("hostnames") or ()) for one in spec.get("hostAliases") or ()]
    return [*aliases, _line(address, names)]
