"""Example accounts for the pods of Sensors and EventSources, each with what its work needs and nothing else (flaw Z8).

They name no namespace: they are applied where the Sensor is.
"""

from __future__ import annotations

from events.app.crds import GROUP
from events.app.manifests.roles import Object, account, binding, role, rule

_SCHEDULES = ("cronworkflows",)
_CREATE = """\
# For a Sensor whose triggers submit Workflows: it may create Workflows, and nothing else.
#   spec: {template: {serviceAccountName: create-serviceaccount}}
"""
_OPERATE = """\
# For a Sensor whose triggers do more with Workflows than submit them: resubmit, retry, resume, stop, submit from a
# template; also for `policy.k8s`, which looks at the Workflow that was made.
"""
_EXECUTOR = """\
# What the pods of a Workflow need to report their results, here for the account `default`.
"""
_RESOURCE = """\
# For an EventSource of type `resource` that watches Workflows; name what yours watches.
"""
_LEASE = """\
# For a Sensor or EventSource with the annotation `events.argoproj.io/leader-election: k8s`.
"""


def files() -> dict[str, tuple[str, list[Object]]]:
    """File -> what is said at its top, and its objects."""
    return {
        "create-serviceaccount.yaml": (
            _CREATE,
            _given("create-serviceaccount", "create-workflows", _workflows("create")),
        ),
        "sensor-rbac.yaml": (
            _OPERATE,
            _given(
                "operate-workflow-sa",
                "operate-workflow-role",
                _workflows("create", "get", "patch"),
                rule(GROUP, _SCHEDULES, ("get",)),
            ),
        ),
        "workflow-executor.yaml": (
            _EXECUTOR,
            [
                role("executor", [rule(GROUP, ("workflowtaskresults",), ("create", "patch"))], None),
                binding("executor-default", "executor", "default", None),
            ],
        ),
        "resource-event-source.yaml": (
            _RESOURCE,
            _given("resource-event-source-sa", "watch-workflows", _workflows("list", "watch")),
        ),
        "lease-election.yaml": (
            _LEASE,
            _given(
                "lease-election-sa",
                "lease-election",
                rule("coordination.k8s.io", ("leases",), ("get", "create", "update")),
            ),
        ),
    }


def _workflows(*verbs: str) -> Object:
    return rule(GROUP, ("workflows",), verbs)


def _given(name: str, of: str, *rules: Object) -> list[Object]:
    return [account(name, None), role(of, list(rules), None), binding(f"{of}-binding", of, name, None)]
