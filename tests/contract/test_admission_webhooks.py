"""Webhooks of the API, really called: who is asked, what is shown, what becomes of each answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.admission_server import RULE, AdmissionServer, Parameters, Services, patch, refusal, request, spaces
from support.api_objects import thing

from events.local.apiserver.access.rbac.index import Object
from events.local.apiserver.admission.calling import Caller
from events.local.apiserver.admission.chain import Admission
from events.local.apiserver.admission.request import Kind, Resource

DENIED = {"allowed": False}
ALLOWED = {"allowed": True}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[AdmissionServer]:
    async with AdmissionServer(tmp_path).running() as running:
        yield running


@pytest.fixture
async def admission(server: AdmissionServer) -> AsyncIterator[Admission]:
    objects = spaces()
    chain = Admission(objects, objects, Parameters([]), Caller(Services(server)))
    yield chain
    await chain.close()


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


class Versions:
    """Config maps have a second version, in which `data` is called `content`."""

    def of(self, resource: Resource) -> list[tuple[Resource, Kind]]:
        return [(resource._replace(version="v2"), Kind("", "v2", "ConfigMap"))]

    def convert(self, it: Object, kind: Kind) -> Object:
        names = {"data": "content"} if kind.version == "v2" else {"content": "data"}
        return {names.get(key, key): value for key, value in it.items()} | {"apiVersion": kind.version}


async def test_a_rule_of_another_version_is_shown_that_version(server: AdmissionServer) -> None:
    objects = spaces()
    chain = Admission(objects, objects, Parameters([]), Caller(), Versions())
    rules = [{**RULE, "apiVersions": ["v2"]}]
    chain.changed(None, configuration(server, "c", "other", kind="Mutating", rules=rules))
    chain.changed(None, configuration(server, "d", "exact", kind="Mutating", rules=rules, matchPolicy="Exact"))
    server.answers["other"] = lambda _review: patch({"op": "add", "path": "/content/x", "value": "1"})
    new = await chain.mutate(request())
    await chain.close()
    ((_, review),) = server.calls
    shown = review["request"]
    assert (shown["object"]["apiVersion"], shown["object"]["content"]) == ("v2", {"k": "v"})
    assert (shown["resource"]["version"], shown["requestResource"]["version"]) == ("v2", "v1")
    assert new is not None
    assert (new["apiVersion"], new["data"]) == ("v1", {"k": "v", "x": "1"})


async def test_an_old_webhook_gets_the_review_it_knows(server: AdmissionServer, admission: Admission) -> None:
    admission.changed(
        None, configuration(server, "c", "old", kind="Mutating", admissionReviewVersions=["v0", "v1beta1"])
    )
    server.answers["old"] = lambda _review: {"uid": "", **patch({"op": "remove", "path": "/data"}), "patchType": None}
    new = await admission.mutate(request())
    assert server.calls[0][1]["apiVersion"] == "admission.k8s.io/v1beta1"
    assert new is not None
    assert "data" not in new
    admission.changed(None, configuration(server, "c", "old", kind="Mutating", admissionReviewVersions=["v0"]))
    says = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
    assert says in (await refusal(admission.mutate(request()))).message


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(
    server: AdmissionServer, admission: Admission
) -> None:
    admission.changed(None, configuration(server, "c", "tired"))

    async def drop(_review: dict[str, Any]) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        raise AssertionError

    server.answers["tired"] = lambda review: drop(review) if len(server.calls) in (2, 4, 5) else ALLOWED
    await admission.validate(request())
    await admission.validate(request())
    assert len(server.calls) == 3
    assert "EOF" in (await refusal(admission.validate(request()))).message
