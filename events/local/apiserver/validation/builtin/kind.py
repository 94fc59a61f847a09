"""A built-in kind: its objects read by the schema, filled in, and judged by the rules of their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from events.local.apiserver import names, schemas
from events.local.apiserver.validation import decoded, decoding, metadata
from events.local.apiserver.validation.builtin import access, configuration, pods, services, webhooks, workloads
from events.local.apiserver.validation.causes import Cause
from events.local.apiserver.validation.custom import definition

Object = dict[str, Any]
Check = Callable[[Mapping[str, Any]], list[Cause]]
Change = Callable[[Mapping[str, Any], Mapping[str, Any]], list[Cause]]


@dataclass(frozen=True)
class Rules:
    """What one kind asks beyond its types."""

    name: names.Rule = names.dns1123_subdomain
    check: Check | None = None
    change: Change | None = None
    status: Change | None = None
    core: bool = True
    rules_first: bool = False  # a change is judged as a new object first, and only then as a change
    whole: tuple[Check, Change, Change] | None = None  # rules that judge metadata as well


_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_PATH = names.path_segment
RULES: Mapping[tuple[str, str], Rules] = {
    ("", "ConfigMap"): Rules(check=configuration.config_map, change=configuration.config_map_update),
    ("", "Event"): Rules(check=configuration.event),
    ("", "Namespace"): Rules(names.dns1123_label, status=configuration.namespace_status),
    ("", "Pod"): Rules(check=pods.pod, change=pods.pod_update),
    ("", "Secret"): Rules(check=configuration.secret, change=configuration.secret_update),
    ("", "Service"): Rules(names.dns1035_label, services.service, services.service_update),
    (_ADMISSION, "MutatingWebhookConfiguration"): Rules(check=webhooks.configuration, core=False),
    (_ADMISSION, "ValidatingAdmissionPolicy"): Rules(check=webhooks.policy, core=False),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): Rules(check=webhooks.binding, core=False),
    (_ADMISSION, "ValidatingWebhookConfiguration"): Rules(check=webhooks.configuration, core=False),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Rules(
        whole=(definition.created, definition.updated, definition.status_updated)
    ),
    ("apps", "DaemonSet"): Rules(check=workloads.daemon_set, change=workloads.selector_update),
    ("apps", "Deployment"): Rules(check=workloads.deployment, change=workloads.selector_update),
    ("apps", "ReplicaSet"): Rules(check=workloads.replica_set, change=workloads.selector_update),
    ("apps", "StatefulSet"): Rules(check=workloads.stateful_set, change=workloads.stateful_set_update),
    ("batch", "CronJob"): Rules(check=workloads.cron_job),
    ("batch", "Job"): Rules(check=workloads.job, change=workloads.job_update),
    ("coordination.k8s.io", "Lease"): Rules(check=configuration.lease),
    ("events.k8s.io", "Event"): Rules(check=configuration.new_event),
    ("networking.k8s.io", "Ingress"): Rules(check=services.ingress),
    ("policy", "PodDisruptionBudget"): Rules(check=workloads.disruption_budget),
    (_RBAC, "ClusterRole"): Rules(_PATH, access.cluster_role, rules_first=True),
    (_RBAC, "ClusterRoleBinding"): Rules(_PATH, access.cluster_role_binding, access.binding_update, rules_first=True),
    (_RBAC, "Role"): Rules(_PATH, access.role, rules_first=True),
    (_RBAC, "RoleBinding"): Rules(_PATH, access.role_binding, access.binding_update, rules_first=True),
}
"""Kinds that are not listed are judged by their types and their metadata."""
_DEFAULT = Rules()


class BuiltinKind:
    """One version of a built-in kind."""

    def __init__(
        self,
        known: schemas.Schemas,
        decoders: decoding.Decoders,
        group: str,
        version: str,
        kind: str,
        *,
        namespaced: bool,
    ) -> None:
        name = known.name_of(group, version, kind)
        if name is None:
            raise KeyError(f"{group}/{version} {kind}")
        self.group, self.version, self.kind, self.namespaced = group, version, kind, namespaced
        self.definition = name
        self._decode = decoders.of(name)
        self._rules = RULES.get((group, kind), _DEFAULT)
        self._is_event = kind == "Event"

    def decode(self, value: Object, *, defaulting: bool = True) -> decoded.Decoded:
        found = decoding.Findings(defaulting=defaulting)
        try:
            it = self._decode(value, None, found)
        except RecursionError:
            raise decoding.DecodeError("json: exceeded max depth") from None
        return decoded.Decoded(it, found.unknown)

    def created(self, it: Object) -> list[Cause]:
        rules = self._rules
        if rules.whole:
            return rules.whole[0](it)
        return self._metadata(it) + (rules.check(it) if rules.check else [])

    def _metadata(self, it: Object) -> list[Cause]:
        if self._is_event and self.group == "":
            return []  # a real server looks at little of them
        return metadata.created(it["metadata"], self._rules.name, namespaced=self.namespaced, core=self._rules.core)

    def updated(self, it: Object, old: Object, subresource: str = "") -> list[Cause]:
        rules = self._rules
        common = metadata.updated(it["metadata"], old["metadata"], core=False)
        if rules.whole:
            return common + (rules.whole[2] if subresource == "status" else rules.whole[1])(it, old)
        own = metadata.updated(it["metadata"], old["metadata"], core=rules.core)
        if subresource:
            return common + own + (rules.status(it, old) if rules.status and subresource == "status" else [])
        new = self._metadata(it) + (rules.check(it) if rules.check else [])
        changed = rules.change(it, old) if rules.change else []
        return common + (new + own + changed if rules.rules_first else own + changed + new)

    def warnings(self, it: Object, _old: Object | None) -> list[str]:
        return metadata.duplicate_owners(it["metadata"])
