"""`flags` of resource templates: kubectl's words and options for objects, as far as they say what is done. Pure.

Contract: workflows B.2. What only says how kubectl prints or waits is accepted; anything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from events.local.workflows.errors import WorkflowError

_VALUES = {
    "-n": "namespace",
    "--namespace": "namespace",
    "-l": "selector",
    "--selector": "selector",
    "--field-selector": "field_selector",
    "--subresource": "subresource",
    "--grace-period": "grace",
    "--cascade": "cascade",
    "--field-manager": "manager",
    "--type": "type",
    "-p": "patch",
    "--patch": "patch",
}
_SWITCHES = {"--force": "force", "--all": "all", "--now": "now", "--server-side": "server_side"}
_IGNORED_VALUES = ("-o", "--output", "--timeout", "--request-timeout", "--chunk-size")
_IGNORED = (
    "--ignore-not-found",
    "--validate",
    "--wait",
    "--save-config",
    "--force-conflicts",
    "--overwrite",
    "--record",
)

WORDS: dict[str, tuple[str, str]] = {
    word: (version, kind)
    for version, kind, words in (
        ("v1", "Pod", "po pod pods"),
        ("v1", "ConfigMap", "cm configmap configmaps"),
        ("v1", "Secret", "secret secrets"),
        ("v1", "Service", "svc service services"),
        ("v1", "ServiceAccount", "sa serviceaccount serviceaccounts"),
        ("v1", "Namespace", "ns namespace namespaces"),
        ("v1", "Node", "no node nodes"),
        ("v1", "PersistentVolumeClaim", "pvc persistentvolumeclaim persistentvolumeclaims"),
        ("v1", "PersistentVolume", "pv persistentvolume persistentvolumes"),
        ("apps/v1", "Deployment", "deploy deployment deployments"),
        ("apps/v1", "StatefulSet", "sts statefulset statefulsets"),
        ("apps/v1", "DaemonSet", "ds daemonset daemonsets"),
        ("apps/v1", "ReplicaSet", "rs replicaset replicasets"),
        ("batch/v1", "Job", "job jobs"),
        ("batch/v1", "CronJob", "cj cronjob cronjobs"),
        ("networking.k8s.io/v1", "Ingress", "ing ingress ingresses"),
        ("networking.k8s.io/v1", "NetworkPolicy", "netpol networkpolicy networkpolicies"),
        ("rbac.authorization.k8s.io/v1", "Role", "role roles"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebinding rolebindings"),
        ("autoscaling/v2", "HorizontalPodAutoscaler", "hpa horizontalpodautoscaler horizontalpodautoscalers"),
        ("argoproj.io/v1alpha1", "Workflow", "wf workflow workflows"),
        ("argoproj.io/v1alpha1", "WorkflowTemplate", "wftmpl workflowtemplate workflowtemplates"),
        ("argoproj.io/v1alpha1", "ClusterWorkflowTemplate", "cwft clusterworkflowtemplate clusterworkflowtemplates"),
        ("argoproj.io/v1alpha1", "CronWorkflow", "cwf cronwf cronworkflow cronworkflows"),
        ("argoproj.io/v1alpha1", "EventBus", "eb eventbus"),
        ("argoproj.io/v1alpha1", "EventSource", "es eventsource eventsources"),
        ("argoproj.io/v1alpha1", "Sensor", "sn sensor sensors"),
    )
    for word in words.split()
}
"""kubectl's words for kinds; others are written with their group: `certificates.cert-manager.io`."""


@dataclass
class Flags:
    """What they say."""

    words: list[str] = field(default_factory=list)
    namespace: str = ""
    selector: str = ""
    field_selector: str = ""
    subresource: str = ""
    grace: str = ""
    cascade: str = ""
    manager: str = ""
    type: str = ""
    patch: str = ""
    force: bool = False
    all: bool = False
    now: bool = False
    server_side: bool = False

    def targets(self) -> tuple[str, list[str]]:
        """The word for the kind and the names; WorkflowError when none is named."""
        if not self.words:
            raise WorkflowError("flags name no object", cure="write flags such as [configmap, my-map]")
        kind, slash, name = self.words[0].partition("/")
        if slash:
            return kind, [name, *(one.partition("/")[2] or one for one in self.words[1:])]
        return kind, self.words[1:]


def parsed(several: Sequence[str]) -> Flags:
    """The flags of a template."""
    found = Flags()
    words = iter(str(one) for one in several)
    for word in words:
        if not word.startswith("-"):
            found.words.append(word)
            continue
        name, sign, value = word.partition("=")
        if name in _SWITCHES:
            setattr(found, _SWITCHES[name], value != "false")
        elif name in _VALUES:
            setattr(found, _VALUES[name], value if sign else _next(words, name))
        elif name in _IGNORED_VALUES:
            _ = value if sign else _next(words, name)
        elif name not in _IGNORED:
            known = ", ".join(sorted((*_VALUES, *_SWITCHES, *_IGNORED, *_IGNORED_VALUES)))
            raise WorkflowError(f"the flag {name} of a resource template is not available here; known are {known}")
    return found


def _next(words: Iterator[str], name: str) -> str:
    try:
        return next(words)
    except StopIteration:
        raise WorkflowError(f"the flag {name} has no value") from None
