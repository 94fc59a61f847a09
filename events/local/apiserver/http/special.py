"""Requests that store nothing themselves: reviews, tokens, bindings, evictions, and what pods offer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from events.local.apiserver.access import reviews, token_requests
from events.local.apiserver.access.tokens import ObjectLookup
from events.local.apiserver.admission.request import Kind, Request
from events.local.apiserver.admission.request import Resource as ResourceName
from events.local.apiserver.http.call import Call
from events.local.apiserver.managed import tracking
from events.local.apiserver.objects import bodies, deleting, errors
from events.local.apiserver.objects.operations import Operations
from events.local.apiserver.objects.options import Options
from events.local.apiserver.pods import handlers as pods
from events.local.apiserver.pods.kubelet import Kubelets
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import decoded

Object = dict[str, Any]
Handler = Callable[[Call], Awaitable[web.StreamResponse]]
PodHandler = Callable[[web.Request, Object, Kubelets], Awaitable[web.StreamResponse]]

_AUTHENTICATION = "authentication.k8s.io"
_DONE: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class Special:
    """The handlers by subresource, and by resource for what is only asked."""

    def __init__(self, operations: Operations, lookup: ObjectLookup, kubelets: Kubelets) -> None:
        self._operations, self._lookup, self._kubelets = operations, lookup, kubelets
        self._front = operations.front
        self._deleting = deleting.Deleting(operations)
        self.subresources: Mapping[tuple[str, str], Handler] = {
            ("pods", "attach"): self._of_pod(pods.attach),
            ("pods", "binding"): self.bind,
            ("pods", "eviction"): self.evict,
            ("pods", "exec"): self._of_pod(pods.execute),
            ("pods", "log"): self._of_pod(pods.log),
            ("pods", "portforward"): self._of_pod(pods.forward_ports),
            ("serviceaccounts", "token"): self.token,
        }

    def questions(self, resource: Resource) -> Handler | None:
        """The handler of a kind that is not stored."""
        if (resource.group, resource.plural) in reviews.REVIEWS:
            return self.review
        return {"tokenreviews": self.review_token, "bindings": self.bind}.get(resource.plural)

    # -- questions

    async def review(self, call: Call) -> web.StreamResponse:
        """May I, may he, who am I."""
        it, _ = await self._asked(call)
        answer = reviews.REVIEWS[call.resource.group, call.resource.plural]
        found = answer(it, self._front.roles, call.entered.user, call.namespace, call.now.timestamp())
        return call.answer(found, status=201)

    async def review_token(self, call: Call) -> web.StreamResponse:
        """Whose token is it."""
        it, _ = await self._asked(call)
        return call.answer(token_requests.review(it, self._front.tokens, call.now.timestamp()), status=201)

    async def token(self, call: Call) -> web.StreamResponse:
        """A token for a service account."""
        options = call.options("CreateOptions")
        given, twice = call.parsed("TokenRequest")
        rules = call.resource.kinds.builtin(_AUTHENTICATION, "v1", "TokenRequest", namespaced=True)
        version = f"{_AUTHENTICATION}/v1"
        whole = {**given, "kind": "TokenRequest", "apiVersion": version}
        if (given.get("kind") or "TokenRequest", given.get("apiVersion") or version) != ("TokenRequest", version):
            raise errors.bad_request(f"expected a TokenRequest of {version}")
        found = _decoded(rules, whole, twice, options)
        it = token_requests.defaulted(found.object)
        node = call.resource.kinds.schemas.of(_AUTHENTICATION, "v1", "TokenRequest")
        empty = rules.decode({}, defaulting=False).object
        managed = tracking.Kind("TokenRequest", {version: node}, call.resource.kinds.schemas.resolve, empty=empty)
        it = tracking.create(it, managed, tracking.Writer(options.manager, version, options.now, "token"))
        await self._operations.store.settled()
        now = call.now.timestamp()
        answer = token_requests.request(it, call.namespace, call.name, self._front.tokens, self._lookup, now)
        return call.answer(answer, status=201)

    async def _asked(self, call: Call) -> tuple[Object, Options]:
        """The object of a question, owned and admitted like others."""
        _ = call.form
        options, resource = call.options("CreateOptions"), call.resource
        given, twice = call.parsed()
        it = bodies.decoded_object(resource, given, twice, options)
        it["metadata"] = dict(it.get("metadata") or {})
        it = tracking.create(it, resource.managed, options.writer(resource))
        request = self._operations.request("CREATE", resource, "", call.namespace, "", options, it, None)
        new = dict(await self._operations.admission.mutate(request) or {})
        await self._operations.store.settled()
        return new, options

    # -- pods

    async def bind(self, call: Call) -> web.StreamResponse:
        """Give a pod its node."""
        given, _ = call.parsed("Binding")
        name = call.name or ((given.get("metadata") or {}).get("name") or "")
        node = (given.get("target") or {}).get("name")
        if not name or not isinstance(node, str) or not node:
            raise errors.bad_request("a Binding names its pod in metadata.name and its node in target.name")
        pods_resource = self._operations.resources.find("", "v1", "pods")
        assert pods_resource is not None
        options = call.options("CreateOptions")

        def bound(old: Object) -> Object:
            if present := (old.get("spec") or {}).get("nodeName"):
                says = f'pod {name} is already assigned to node "{present}"'
                raise errors.conflict(pods_resource, name, says)
            new = {**old, "spec": {**old["spec"], "nodeName": node}}
            return tracking.update(old, new, pods_resource.managed, options.writer(pods_resource, "binding"))

        await self._operations.change(pods_resource, call.namespace, name, "binding", bound, options)
        return call.answer(_DONE, status=201)

    async def evict(self, call: Call) -> web.StreamResponse:
        """Delete a pod politely; budgets are only stored here and hold nothing back."""
        given, _ = call.parsed("Eviction")
        raw = given.get("deleteOptions") or {}
        wanted = deleting.DeleteOptions(raw.get("propagationPolicy") or "", raw.get("gracePeriodSeconds"))
        options = Options("DeleteOptions", call.entered.user, "", call.now, warnings=call.warnings)
        await self._deleting.delete(call.resource, call.namespace, call.name, wanted, options)
        return call.answer(_DONE, status=201)

    def _of_pod(self, handler: PodHandler) -> Handler:
        async def serve(call: Call) -> web.StreamResponse:
            pod = await self._operations.get(call.resource, call.namespace, call.name)
            if call.subresource != "log":
                await self._admit_connect(call)
            return await handler(call.request, pod, self._kubelets)  # type: ignore[arg-type]

        return serve

    async def _admit_connect(self, call: Call) -> None:
        resource = call.resource
        request = Request(
            "CONNECT",
            call.entered.user,
            Kind(resource.group, resource.version, resource.kind),
            ResourceName(resource.group, resource.version, resource.plural),
            call.subresource,
            call.namespace,
            call.name,
        )
        await self._operations.admission.mutate(request)
        await self._operations.admission.validate(request)


def _decoded(rules: Any, whole: Object, twice: list[str], options: Options) -> decoded.Decoded:
    from events.local.apiserver.validation import DecodeError, cannot_be_handled

    kind = whole["kind"]
    try:
        found: decoded.Decoded = rules.decode(whole)
    except DecodeError as error:
        raise StatusError(400, "BadRequest", cannot_be_handled(kind, "v1", str(error))) from error
    bodies.report(found, twice, options, lambda says: cannot_be_handled(kind, "v1", says))
    return found
