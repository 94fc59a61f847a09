"""Admission without webhooks: policies, namespaces, service accounts of pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.admission_server import RULE, USER, Parameters, refusal, request, spaces
from support.api_objects import Objects, thing

from events.local.apiserver.access.rbac.index import Object
from events.local.apiserver.admission.calling import Caller
from events.local.apiserver.admission.chain import Admission
from events.local.apiserver.admission.request import Kind, Request, Resource


@pytest.fixture
def objects() -> Objects:
    return spaces()


@pytest.fixture
async def admission(objects: Objects) -> AsyncIterator[Admission]:
    limits = thing("ConfigMap", "limits", "n", data={"most": "3"})
    chain = Admission(objects, objects, Parameters([limits]), Caller())
    yield chain
    await chain.close()


def policy(**spec: Any) -> Object:
    constraints = {"resourceRules": [RULE], "namespaceSelector": {}, "objectSelector": {}, "matchPolicy": "Equivalent"}
    given = {"failurePolicy": "Fail", "matchConstraints": constraints} | spec
    return thing("ValidatingAdmissionPolicy", "p", "", "admissionregistration.k8s.io/v1", spec=given)


def in_force(*actions: str, **more: Any) -> Object:
    spec = {"policyName": "p", "validationActions": list(actions or ("Deny",)), **more}
    return thing("ValidatingAdmissionPolicyBinding", "b", "", "admissionregistration.k8s.io/v1", spec=spec)


GOOD = {"expression": "'k' in object.data && object.data.k != 'v'", "message": "k must not be v"}
BY = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


@pytest.mark.parametrize(
    ("validation", "code", "reason", "says"),
    [
        (GOOD | {"reason": "Forbidden"}, 403, "Forbidden", "k must not be v"),
        (GOOD, 422, "Invalid", "k must not be v"),
        ({"expression": "false"}, 422, "Invalid", "failed expression: false"),
        ({"expression": "false", "messageExpression": "'is ' + object.data.k"}, 422, "Invalid", "is v"),
        ({"expression": "false", "messageExpression": "object.x", "message": "m"}, 422, "Invalid", "m"),
        (
            {"expression": "object.data.gone == '1'"},
            422,
            "Invalid",
            "expression 'object.data.gone == '1'' resulted in error: no such key: gone",
        ),
        ({"expression": "variables.most < 3"}, 422, "Invalid", "failed expression: variables.most < 3"),
        (
            {"expression": "namespaceObject.metadata.labels.guard == 'no'"},
            422,
            "Invalid",
            "failed expression: namespaceObject.metadata.labels.guard == 'no'",
        ),
    ],
)
async def test_a_policy_denies_in_its_words(
    admission: Admission, validation: dict[str, Any], code: int, reason: str, says: str
) -> None:
    variables = [
        {"name": "text", "expression": "params.data.most"},
        {"name": "most", "expression": "int(variables.text)"},
    ]
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    admission.changed(None, policy(validations=[validation], variables=variables, paramKind=kind))
    await admission.validate(request())
    admission.changed(None, in_force(paramRef={"name": "limits", "parameterNotFoundAction": "Deny"}))
    refused = await refusal(admission.validate(request()))
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.message == f'configmaps "a" is forbidden: {BY}{says}'
    assert refused.details == {"name": "a", "kind": "configmaps", "causes": [{"message": BY + says}]}


async def test_a_policy_may_only_warn(admission: Admission) -> None:
    admission.changed(None, policy(validations=[GOOD]))
    admission.changed(None, in_force("Warn", "Audit"))
    asked = request()
    await admission.validate(asked)
    by = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b'"
    assert asked.warnings == [f"{by}: k must not be v"]


async def test_a_policy_without_its_parameters_denies_or_is_passed_over(admission: Admission) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    admission.changed(None, policy(validations=[GOOD], paramKind=kind))
    admission.changed(None, in_force(paramRef={"name": "gone", "parameterNotFoundAction": "Deny"}))
    says = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    assert says in (await refusal(admission.validate(request()))).message
    admission.changed(None, in_force(paramRef={"name": "gone", "parameterNotFoundAction": "Allow"}))
    await admission.validate(request())
    admission.changed(None, policy(validations=[GOOD], paramKind={"apiVersion": "x/v1", "kind": "Gone"}))
    assert "paramKind kind `x/v1, Kind=Gone` not known" in (await refusal(admission.validate(request()))).message


async def test_an_endless_policy_is_stopped(admission: Admission) -> None:
    endless = "[1,2,3,4,5,6,7,8,9,10]"
    for _ in range(7):
        endless = f"[1,2,3,4,5,6,7,8,9,10].map(x, {endless})"
    admission.changed(None, policy(validations=[{"expression": f"{endless}.size() == 0"}]))
    admission.changed(None, in_force())
    refused = await refusal(admission.validate(request()))
    assert "running out of cost budget" in refused.message


# namespaces and pods


async def test_nothing_is_made_where_there_is_no_namespace_or_one_that_goes(admission: Admission) -> None:
    lost = await refusal(admission.mutate(request(namespace="lost")))
    assert (lost.code, lost.message) == (404, 'namespaces "lost" not found')
    going = await refusal(admission.mutate(request(namespace="going")))
    why = "unable to create new content in namespace going because it is being terminated"
    assert (going.code, going.message) == (403, f'configmaps "a" is forbidden: {why}')
    cause = {
        "reason": "NamespaceTerminating",
        "message": "namespace going is being terminated",
        "field": "metadata.namespace",
    }
    assert going.details == {"name": "a", "kind": "configmaps", "causes": [cause]}
    await admission.mutate(request(operation="UPDATE", namespace="going", old=thing("ConfigMap", "a", "going")))
    await admission.mutate(request(operation="DELETE", namespace="lost"))


async def test_some_namespaces_stay(admission: Admission) -> None:
    given = {"kind": Kind("", "v1", "Namespace"), "resource": Resource("", "v1", "namespaces"), "namespace": ""}
    asked = Request("DELETE", USER, name="default", old=thing("Namespace", "default"), **given)
    refused = await refusal(admission.mutate(asked))
    assert refused.message == 'namespaces "default" is forbidden: this namespace may not be deleted'


def pod(**spec: Any) -> Request:
    it = thing("Pod", "p", "n", spec={"containers": [{"name": "c"}], **spec})
    return request(it, kind=Kind("", "v1", "Pod"), resource=Resource("", "v1", "pods"))


async def test_a_pod_gets_its_account_and_token(admission: Admission, objects: Objects) -> None:
    objects.put(thing("ServiceAccount", "puller", "n", imagePullSecrets=[{"name": "registry"}]))
    new = await admission.mutate(pod())
    assert new is not None
    spec = new["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    (volume,) = spec["volumes"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    path = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert mount == {"name": volume["name"], "readOnly": True, "mountPath": path}
    kinds = [next(iter(source)) for source in volume["projected"]["sources"]]
    assert kinds == ["serviceAccountToken", "configMap", "downwardAPI"]
    other = await admission.mutate(pod(serviceAccountName="puller", automountServiceAccountToken=False))
    assert other is not None
    assert other["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert "volumes" not in other["spec"]


async def test_a_pod_without_its_account_is_refused(admission: Admission) -> None:
    refused = await refusal(admission.mutate(pod(serviceAccountName="gone")))
    assert refused.message == (
        'pods "a" is forbidden: error looking up service account n/gone: serviceaccount "gone" not found'
    )


async def test_a_pod_waits_for_the_account_of_a_new_namespace(admission: Admission, objects: Objects) -> None:
    default = objects.get("serviceaccounts", "n", "default")
    assert default is not None
    objects.drop(default)
    asked = asyncio.create_task(admission.mutate(pod()))  # type: ignore[arg-type]  # a coroutine
    await asyncio.sleep(0.05)
    objects.put(default)
    new = await asked
    assert new is not None
    assert new["spec"]["serviceAccountName"] == "default"
