"""Rules of pods and of templates of pods."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from events.local.apiserver import names
from events.local.apiserver.validation import causes, metadata
from events.local.apiserver.validation.builtin import containers
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_RESTARTS = ("Always", "Never", "OnFailure")
_DNS = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_FREE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(it: Object) -> list[Cause]:
    """What is wrong with a pod."""
    return spec(it["spec"], "spec")


def template(it: Object, path: str, claimed: Collection[str] = ()) -> list[Cause]:
    """What is wrong with a template of pods; `claimed`: volumes that each pod gets besides those it lists."""
    meta = it.get("metadata") or {}
    found = metadata.labels(f"{path}.metadata.labels", meta.get("labels"))
    found += metadata.check_annotations(f"{path}.metadata.annotations", meta.get("annotations"))
    return found + spec(it.get("spec") or {}, f"{path}.spec", claimed)


def spec(it: Object, path: str, claimed: Collection[str] = ()) -> list[Cause]:
    """What is wrong with the specification of a pod."""
    found, volumes = _volumes(it.get("volumes") or (), f"{path}.volumes")
    volumes |= set(claimed)
    taken: set[str] = set()
    if it.get("containers"):
        found += containers.check(it["containers"], f"{path}.containers", volumes, taken)
    else:
        found.append(causes.required(f"{path}.containers"))
    found += containers.check(it.get("initContainers") or (), f"{path}.initContainers", volumes, taken)
    for key, allowed in (("restartPolicy", _RESTARTS), ("dnsPolicy", _DNS)):
        value = it.get(key, "")
        if not value:
            found.append(causes.required(f"{path}.{key}"))
        elif value not in allowed:
            found.append(causes.not_supported(f"{path}.{key}", value, allowed))
    for key in ("terminationGracePeriodSeconds",):
        found += causes.negative(f"{path}.{key}", it.get(key))
    deadline = it.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline < 1 << 31:
        says = "must be between 1 and 2147483647, inclusive"
        found.append(causes.invalid(f"{path}.activeDeadlineSeconds", deadline, says))
    for key, rule in (
        ("serviceAccountName", names.dns1123_subdomain),
        ("nodeName", names.dns1123_subdomain),
        ("hostname", names.dns1123_label),
        ("subdomain", names.dns1123_label),
    ):
        if value := it.get(key):
            found += causes.each(f"{path}.{key}", value, rule(value))
    found += metadata.labels(f"{path}.nodeSelector", it.get("nodeSelector"))
    return found + _tolerations(it.get("tolerations") or (), f"{path}.tolerations")


def _volumes(volumes: Sequence[Object], path: str) -> tuple[list[Cause], set[str]]:
    found: list[Cause] = []
    taken: set[str] = set()
    for index, volume in enumerate(volumes):
        here, name = f"{path}[{index}]", volume.get("name", "")
        if not name:
            found.append(causes.required(f"{here}.name"))
        else:
            found += causes.each(f"{here}.name", name, names.dns1123_label(name))
        if name in taken:
            found.append(causes.duplicate(f"{here}.name", name))
        taken.add(name)
        kinds = [key for key, value in volume.items() if key != "name" and value is not None]
        for key in kinds[1:]:
            found.append(causes.forbidden(f"{here}.{key}", "may not specify more than 1 volume type"))
        for key, inner in (("secret", "secretName"), ("persistentVolumeClaim", "claimName"), ("hostPath", "path")):
            if volume.get(key) is not None and not volume[key].get(inner):
                found.append(causes.required(f"{here}.{key}.{inner}"))
        if volume.get("configMap") is not None and not volume["configMap"].get("name"):
            found.append(causes.required(f"{here}.configMap.name"))
    return found, taken


def _tolerations(tolerations: Sequence[Object], path: str) -> list[Cause]:
    found: list[Cause] = []
    for index, one in enumerate(tolerations):
        here, key, operator = f"{path}[{index}]", one.get("key", ""), one.get("operator", "")
        if key:
            found += causes.each(f"{here}.key", key, names.qualified_name(key))
        elif operator != "Exists":
            says = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(causes.invalid(f"{here}.operator", operator, says))
        if operator not in ("", "Equal", "Exists"):
            found.append(causes.not_supported(f"{here}.operator", operator, ("Equal", "Exists")))
        if operator == "Exists" and one.get("value"):
            found.append(causes.invalid(f"{here}.operator", one, "value must be empty when `operator` is 'Exists'"))
        effect = one.get("effect", "")
        if effect not in ("", "NoSchedule", "PreferNoSchedule", "NoExecute"):
            allowed = ("NoSchedule", "PreferNoSchedule", "NoExecute")
            found.append(causes.not_supported(f"{here}.effect", effect, allowed))
    return found


def pod_update(it: Object, old: Object) -> list[Cause]:
    """Images, deadlines and more tolerations may change; nothing else of what a pod is."""
    new, before = it["spec"], old["spec"]
    found: list[Cause] = []
    for key in ("containers", "initContainers"):
        if len(new.get(key) or ()) != len(before.get(key) or ()):
            says = "pod updates may not add or remove containers"
            return [causes.forbidden(f"spec.{key}", says)]
        for index, one in enumerate(new.get(key) or ()):
            if not one.get("image", "").strip():
                found.append(causes.required(f"spec.{key}[{index}].image"))
    deadline, earlier = new.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if earlier is not None and deadline != earlier:
        here = "spec.activeDeadlineSeconds"
        if deadline is None:
            found.append(causes.invalid(here, None, "must not update from a positive integer to nil value"))
        elif deadline > earlier:
            found.append(causes.invalid(here, deadline, "must be less than or equal to previous value"))
    if any(one not in (new.get("tolerations") or ()) for one in before.get("tolerations") or ()):
        found.append(
            causes.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        )
    if _fixed(new) != _fixed(before):
        found.append(causes.forbidden("spec", _FREE))
    return found


def _fixed(it: Object) -> dict[str, Any]:
    kept = {key: value for key, value in it.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    if kept.get("terminationGracePeriodSeconds", 0) in (1, -1):
        kept.pop("terminationGracePeriodSeconds")
    for key in ("containers", "initContainers"):
        if key in kept:
            kept[key] = [{name: value for name, value in one.items() if name != "image"} for one in kept[key] or ()]
    return kept
