"""Admission: webhooks that are really called, policies, namespaces, service accounts of pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.admission_server import AdmissionServer, patch
from support.api_objects import Objects, thing

from events.local.apiserver.access.identity import User
from events.local.apiserver.access.rbac.index import Object
from events.local.apiserver.admission.calling import Caller
from events.local.apiserver.admission.chain import Admission
from events.local.apiserver.admission.request import Kind, Request, Resource
from events.local.apiserver.status import StatusError

USER = User("ann", groups=("staff",))
DENIED = {"allowed": False}
ALLOWED = {"allowed": True}


class Parameters:
    """Config maps are in namespaces; other kinds there are none."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def is_namespaced(self, _api_version: str, kind: str) -> bool | None:
        return True if kind == "ConfigMap" else None

    def parameters(self, _api_version: str, _kind: str, namespace: str) -> Iterable[Object]:
        return [it for it in self.objects if it["metadata"]["namespace"] == namespace]


class Services:
    """Every service is the webhook of the test."""

    def __init__(self, server: AdmissionServer) -> None:
        self.server = server

    async def resolve(self, _namespace: str, name: str, port: int) -> tuple[str, int]:
        if name != "hook":
            raise LookupError(f'service "{name}" not found')
        assert port == 8443
        return "127.0.0.1", self.server.port


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[AdmissionServer]:
    async with AdmissionServer(tmp_path).running() as running:
        yield running


@pytest.fixture
def objects() -> Objects:
    kept = Objects()
    kept.put(thing("Namespace", "n", metadata={"labels": {"guard": "yes"}}, status={"phase": "Active"}))
    kept.put(thing("Namespace", "going", status={"phase": "Terminating"}))
    kept.put(thing("ServiceAccount", "default", "n"))
    return kept


@pytest.fixture
async def admission(server: AdmissionServer, objects: Objects) -> AsyncIterator[Admission]:
    limits = thing("ConfigMap", "limits", "n", data={"most": "3"})
    chain = Admission(objects, objects, Parameters([limits]), Caller(Services(server)))
    yield chain
    await chain.close()


RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "scope": "*"}


def configuration(server: AdmissionServer, name: str, *hooks: str, kind: str = "Validating", **more: Any) -> Object:
    webhooks = [
        {
            "name": f"{hook}.example.com",
            "clientConfig": {"url": f"{server.url}/{hook}", "caBundle": server.bundle},
            "rules": [RULE],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 5,
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            **more,
        }
        for hook in hooks
    ]
    version = "admissionregistration.k8s.io/v1"
    return thing(f"{kind}WebhookConfiguration", name, "", version, webhooks=webhooks)


def request(new: Object | None = None, operation: str = "CREATE", **more: Any) -> Request:
    it = thing("ConfigMap", "a", "n", data={"k": "v"}) if new is None and operation != "DELETE" else new
    given = {"kind": Kind("", "v1", "ConfigMap"), "resource": Resource("", "v1", "configmaps"), "namespace": "n"}
    return Request(operation, USER, name="a", new=it, **given | more)


async def refusal(asked: Any) -> StatusError:
    with pytest.raises(StatusError) as refused:
        await asked
    return refused.value


@pytest.mark.parametrize(
    ("response", "code", "reason", "says"),
    [
        (DENIED, 400, "", "denied the request without explanation"),
        (
            {**DENIED, "status": {"message": "not today", "code": 418, "reason": "Teapot"}},
            418,
            "Teapot",
            "denied the request: not today",
        ),
        ({**DENIED, "status": {"reason": "Why"}}, 400, "Why", "denied the request: Why"),
        ({**DENIED, "status": {"code": 200}}, 400, "", "denied the request without explanation"),
    ],
)
async def test_a_webhook_refuses_in_its_words(
    server: AdmissionServer, admission: Admission, response: dict[str, Any], code: int, reason: str, says: str
) -> None:
    admission.changed(None, configuration(server, "c", "no"))
    server.answers["no"] = lambda _review: response
    refused = await refusal(admission.validate(request()))
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.message == f'admission webhook "no.example.com" {says}'


async def test_a_review_shows_the_request(server: AdmissionServer, admission: Admission) -> None:
    admission.changed(None, configuration(server, "c", "look"))
    server.answers["look"] = lambda _review: ALLOWED | {"warnings": ["careful"], "auditAnnotations": {"a": "b"}}
    old, new = thing("ConfigMap", "a", "n"), thing("ConfigMap", "a", "n", data={"k": "2"})
    options = {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "mm"}
    asked = request(new, "UPDATE", old=old, options=options)
    await admission.validate(asked)
    ((_, review),) = server.calls
    shown = review["request"]
    assert len(shown.pop("uid")) == 36
    kind, resource = (
        {"group": "", "version": "v1", "kind": "ConfigMap"},
        {"group": "", "version": "v1", "resource": "configmaps"},
    )
    assert shown == {
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": "a",
        "namespace": "n",
        "operation": "UPDATE",
        "userInfo": {"username": "ann", "groups": ["staff"]},
        "object": new,
        "oldObject": old,
        "dryRun": False,
        "options": options,
    }
    assert server.queries == [{"timeout": "5s"}]
    assert asked.warnings == ["careful"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _: web.Response(text="{}"), "received invalid webhook response: webhook response was absent"),
        (
            lambda _: web.Response(text="hello"),
            "couldn't get version/kind; json parse error: json: cannot unmarshal string",
        ),
        (lambda _: web.Response(text="[]"), "json: cannot unmarshal array into Go value"),
        (lambda _: web.Response(status=404), "the server could not find the requested resource"),
        (
            lambda _: web.Response(status=500, text="boom\n"),
            'an error on the server ("boom") has prevented the request from',
        ),
        (lambda _: web.Response(status=302, headers={"Location": "/elsewhere"}), "status code 302"),
        (lambda _: {"allowed": True, "uid": "other"}, 'got "other"'),
        (lambda _: patch({"op": "remove", "path": "/data"}), "validating webhook may not return response.patch"),
        (lambda _: web.Response(body=b"x" * (13 << 20)), "the answer is longer than"),
    ],
)
async def test_an_answer_that_is_none_fails_the_request_or_is_ignored(
    server: AdmissionServer, admission: Admission, answer: Any, says: str
) -> None:
    first = configuration(server, "c", "odd")
    admission.changed(None, first)
    server.answers["odd"] = answer
    refused = await refusal(admission.validate(request()))
    assert (refused.code, refused.reason) == (500, "InternalError")
    assert refused.message.startswith('Internal error occurred: failed calling webhook "odd.example.com": ')
    assert says in refused.message
    admission.changed(first, configuration(server, "c", "odd", failurePolicy="Ignore"))
    await admission.validate(request())
    assert len(server.calls) == 2


async def test_calls_end_in_time_and_trust_only_the_bundle(
    server: AdmissionServer, admission: Admission, tmp_path: Path
) -> None:
    async def sleep(_review: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(3)
        return web.Response()

    def of(client: dict[str, Any]) -> Object:
        return configuration(server, "c", "slow", timeoutSeconds=1, clientConfig=client)

    server.answers["slow"] = lambda review: sleep(review)
    good = {"url": f"{server.url}/slow", "caBundle": server.bundle}
    stranger = AdmissionServer(tmp_path / "other").bundle
    other = {"namespace": "other", "name": "hook", "port": 8443}
    expected: dict[str, dict[str, Any]] = {
        f'Post "{server.url}/slow?timeout=1s": context deadline exceeded': good,
        "x509: certificate signed by unknown authority": good | {"caBundle": stranger},
        "x509: certificate is not valid for the name": {"service": other, "caBundle": server.bundle},
        "connect: connection refused": good | {"url": "https://127.0.0.1:1/x"},
        "no such host": good | {"url": "https://nowhere.invalid/x"},
        "unable to load root certificates": good | {"caBundle": "bm90aGluZw=="},
    }
    for says, client in expected.items():
        admission.changed(None, of(client))
        refused = await refusal(admission.validate(request()))
        assert says in refused.message


async def test_a_service_is_found_by_its_resolver_and_named_in_its_certificate(
    server: AdmissionServer, admission: Admission
) -> None:
    service = {"namespace": "test", "name": "hook", "path": "/no", "port": 8443}
    admission.changed(
        None, configuration(server, "c", "no", clientConfig={"service": service, "caBundle": server.bundle})
    )
    server.answers["no"] = lambda _review: DENIED
    refused = await refusal(admission.validate(request()))
    assert refused.code == 400
    gone = {"service": service | {"name": "gone"}, "caBundle": server.bundle}
    admission.changed(None, configuration(server, "c", "no", clientConfig=gone))
    assert 'service "gone" not found' in (await refusal(admission.validate(request()))).message


async def test_only_those_that_are_meant_are_asked(server: AdmissionServer, admission: Admission) -> None:
    others = {
        "secrets": {"rules": [{**RULE, "resources": ["secrets"]}]},
        "deletes": {"rules": [{**RULE, "operations": ["DELETE"]}]},
        "status": {"rules": [{**RULE, "resources": ["configmaps/status"]}]},
        "cluster": {"rules": [{**RULE, "scope": "Cluster"}]},
        "space": {"namespaceSelector": {"matchLabels": {"guard": "no"}}},
        "labels": {"objectSelector": {"matchLabels": {"guard": "yes"}}},
        "condition": {"matchConditions": [{"name": "x", "expression": "object.metadata.name.startsWith('x')"}]},
        "meant": {
            "rules": [{**RULE, "resources": ["*/*"], "apiGroups": ["*"]}],
            "namespaceSelector": {"matchExpressions": [{"key": "guard", "operator": "In", "values": ["yes"]}]},
            "matchConditions": [{"name": "x", "expression": "request.operation == 'CREATE' && oldObject == null"}],
        },
    }
    for name, more in others.items():
        admission.changed(None, configuration(server, name, name, **more))
        server.answers[name] = lambda _review: ALLOWED
    await admission.validate(request())
    assert [name for name, _ in server.calls] == ["meant"]


async def test_a_condition_that_fails_refuses_unless_failures_are_ignored(
    server: AdmissionServer, admission: Admission
) -> None:
    conditions = [{"name": "x", "expression": "object.data.missing == 'x'"}]
    admission.changed(None, configuration(server, "c", "never", matchConditions=conditions))
    refused = await refusal(admission.validate(request()))
    assert refused.code == 403
    assert "no such key: missing" in refused.message
    ignoring = configuration(server, "c", "never", matchConditions=conditions, failurePolicy="Ignore")
    admission.changed(None, ignoring)
    await admission.validate(request())
    assert server.calls == []


async def test_a_dry_run_asks_only_who_has_no_side_effects(server: AdmissionServer, admission: Admission) -> None:
    admission.changed(None, configuration(server, "c", "some", sideEffects="Some"))
    refused = await refusal(admission.validate(request(dry_run=True)))
    assert (refused.code, refused.message) == (400, 'admission webhook "some.example.com" does not support dry run')
    assert server.calls == []


async def test_webhooks_are_never_asked_about_themselves(server: AdmissionServer, admission: Admission) -> None:
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    it = configuration(server, "c", "no", rules=[everything])
    admission.changed(None, it)
    kind = Kind("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration")
    resource = Resource("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations")
    await admission.validate(request(it, kind=kind, resource=resource, namespace=""))
    assert server.calls == []


async def test_all_validating_webhooks_are_asked_at_once(server: AdmissionServer, admission: Admission) -> None:
    met = asyncio.Barrier(3)

    async def meet(review: dict[str, Any]) -> web.StreamResponse:
        await met.wait()
        response = {"uid": review["request"]["uid"], "allowed": True}
        return web.json_response({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})

    server.answers |= dict.fromkeys("abc", lambda review: meet(review))
    admission.changed(None, configuration(server, "c", "a", "b", "c"))
    await admission.validate(request())
    assert len(server.calls) == 3


async def test_mutating_webhooks_change_the_object_in_turn(server: AdmissionServer, admission: Admission) -> None:
    admission.changed(None, configuration(server, "1", "one", kind="Mutating"))
    admission.changed(None, configuration(server, "2", "two", kind="Mutating"))
    server.answers["one"] = lambda _review: patch({"op": "add", "path": "/data/one", "value": "1"})
    server.answers["two"] = lambda review: patch(
        {"op": "add", "path": "/data/two", "value": review["request"]["object"]["data"]["one"]}
    )
    completed = []

    def complete(it: dict[str, Any]) -> dict[str, Any]:
        completed.append(it)
        return it

    asked = request(complete=complete)
    new = await admission.mutate(asked)
    assert new is not None
    assert new["data"] == {"k": "v", "one": "1", "two": "1"}
    assert asked.new is not None
    assert asked.new["data"] == {"k": "v"}
    assert len(completed) == 2


async def test_who_wishes_is_asked_again_when_another_changed_the_object(
    server: AdmissionServer, admission: Admission
) -> None:
    hooks = configuration(server, "c", "first", kind="Mutating", reinvocationPolicy="IfNeeded")
    admission.changed(None, hooks)
    admission.changed(None, configuration(server, "d", "second", "third", kind="Mutating"))
    server.answers["first"] = lambda review: patch(
        {"op": "add", "path": "/data/seen", "value": ",".join(sorted(review["request"]["object"]["data"]))}
    )
    server.answers["second"] = lambda _review: patch({"op": "add", "path": "/data/more", "value": "1"})
    server.answers["third"] = lambda _review: ALLOWED
    new = await admission.mutate(request())
    assert [name for name, _ in server.calls] == ["first", "second", "third", "first"]
    assert new is not None
    assert new["data"]["seen"] == "k,more,seen"


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (
            patch({"op": "remove", "path": "/data/zzz"}),
            "error in remove for path: '/data/zzz': Unable to remove nonexistent key: zzz: missing value",
        ),
        (patch({"op": "test", "path": "/data/k", "value": "x"}), "testing value /data/k failed: test failed"),
        (patch({"op": "replace", "path": "", "value": []}), "the patch leaves no object"),
        (ALLOWED | {"patch": "e30="}, "webhook returned response.patch but not response.patchType"),
        (ALLOWED | {"patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
        (ALLOWED | {"patch": "!", "patchType": "JSONPatch"}, "received undecodable patch in webhook response"),
        (ALLOWED | {"patch": "e30=", "patchType": "JSONPatch"}, "received undecodable patch in webhook response"),
        (patch({"op": "test", "path": "/kind"}) | {"patchType": "Merge"}, 'unsupported patch type "Merge"'),
    ],
)
async def test_a_patch_that_does_not_fit_is_an_error_of_the_server(
    server: AdmissionServer, admission: Admission, response: dict[str, Any], says: str
) -> None:
    admission.changed(None, configuration(server, "c", "bad", kind="Mutating"))
    server.answers["bad"] = lambda _review: response
    refused = await refusal(admission.mutate(request()))
    assert (refused.code, refused.reason) == (500, "InternalError")
    assert says in refused.message


async def test_a_delete_cannot_be_changed(server: AdmissionServer, admission: Admission) -> None:
    admission.changed(None, configuration(server, "c", "bad", kind="Mutating"))
    server.answers["bad"] = lambda _review: patch({"op": "add", "path": "/data", "value": {}})
    asked = request(None, "DELETE", old=thing("ConfigMap", "a", "n"))
    assert "attempted to modify the object" in (await refusal(admission.mutate(asked))).message


async def test_a_removed_configuration_is_not_asked_any_more(server: AdmissionServer, admission: Admission) -> None:
    it = configuration(server, "c", "no")
    admission.changed(None, it)
    admission.changed(it, None)
    await admission.validate(request())
    assert server.calls == []


# policies


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
