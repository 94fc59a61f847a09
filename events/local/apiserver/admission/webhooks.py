"""Asks the webhooks: mutating ones in turn, each with what the one before left, validating ones all at once."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, field, replace

from events.local.apiserver import cel
from events.local.apiserver.access.refusals import bad_request, forbidden_because
from events.local.apiserver.admission import expressions, matching, replies
from events.local.apiserver.admission.calling import Caller, CallError
from events.local.apiserver.admission.hooks import Hook, Hooks, client_of
from events.local.apiserver.admission.matching import Equivalents
from events.local.apiserver.admission.request import Kind, NamespaceLookup, Request, Resource
from events.local.apiserver.validation.causes import quoted

log = logging.getLogger(__name__)

_NO_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_VERSIONS = ("v1", "v1beta1")


@dataclass
class Rounds:
    """Which mutating webhooks to ask again, because another changed the object after them."""

    is_second: bool = False
    wanted: bool = False
    """Whether a second round is due."""
    again: set[tuple[str, int]] = field(default_factory=set)
    _asked: set[tuple[str, int]] = field(default_factory=set)

    def changed(self) -> None:
        """The object is another: those asked before that wish so are asked again."""
        self.again |= self._asked
        self._asked = set()
        self.wanted = self.wanted or not self.is_second

    def asked(self, hook: Hook) -> None:
        if hook.spec.get("reinvocationPolicy") == "IfNeeded":
            self._asked.add(hook.key)


class Webhooks:
    """Finds those that are meant, and asks them."""

    def __init__(self, caller: Caller, namespaces: NamespaceLookup, equivalents: Equivalents | None = None) -> None:
        self._caller, self._namespaces, self._equivalents = caller, namespaces, equivalents

    async def mutate(self, hooks: Hooks, request: Request, rounds: Rounds) -> Request:
        """The request with its object as the webhooks left it. Raises StatusError."""
        for hook in hooks:
            meant = self._meant(hook, request)
            if meant is None or (rounds.is_second and hook.key not in rounds.again):
                continue
            after = await self._mutate(hook, request, *meant)
            if after is not None and after.new != request.new:
                rounds.changed()
                request = after
            rounds.asked(hook)
        return request

    async def validate(self, hooks: Hooks, request: Request) -> None:
        """Ask all; the refusal of the first that refuses, in their order, is the answer. Raises StatusError."""
        meant = [(hook, found) for hook in hooks if (found := self._meant(hook, request))]
        if len(meant) == 1:
            await self._validate(meant[0][0], request, *meant[0][1])
            return
        asked = [asyncio.create_task(self._validate(hook, request, *found)) for hook, found in meant]
        try:
            answers = await asyncio.gather(*asked, return_exceptions=True)
        finally:
            for task in asked:
                task.cancel()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    def _meant(self, hook: Hook, request: Request) -> tuple[Kind, Resource] | None:
        policy = hook.spec.get("matchPolicy") or "Equivalent"
        found = matching.matched(hook.rules, policy, request, self._equivalents)
        if found is None or not matching.object_matches(hook.spec.get("objectSelector"), request):
            return None
        if not matching.namespace_matches(hook.spec.get("namespaceSelector"), request, self._namespaces):
            return None
        try:
            holds = hook.conditions.hold(lambda: expressions.variables(self._as(request, found[0]), *found))
        except cel.CelError as error:
            if hook.ignores_failures:
                return None
            raise forbidden_because(
                request.resource.group, request.resource.resource, request.name, str(error)
            ) from error
        return found if holds else None

    def _as(self, request: Request, kind: Kind) -> Request:
        """With its objects as the rule names them."""
        if kind == request.kind or self._equivalents is None:
            return request
        new, old = (it and self._equivalents.convert(it, kind) for it in (request.new, request.old))
        return replace(request, new=new, old=old)

    async def _mutate(self, hook: Hook, request: Request, kind: Kind, resource: Resource) -> Request | None:
        shown = self._as(request, kind)
        reply = await self._ask(hook, shown, kind, resource, mutating=True)
        if reply is None or not reply.patch:
            return None
        if shown.new is None:
            says = "attempted to modify the object, which is not supported for this operation"
            raise replies.internal(f"admission webhook {quoted(hook.name)} {says}")
        patched = replies.patched(shown.new, reply.patch)
        if kind != request.kind and self._equivalents is not None:
            patched = dict(self._equivalents.convert(patched, request.kind))
        return replace(request, new=request.complete(patched))

    async def _validate(self, hook: Hook, request: Request, kind: Kind, resource: Resource) -> None:
        await self._ask(hook, self._as(request, kind), kind, resource, mutating=False)

    async def _ask(
        self, hook: Hook, request: Request, kind: Kind, resource: Resource, *, mutating: bool
    ) -> replies.Reply | None:
        """The permission, with what comes with it; None when a failure is ignored. Raises StatusError."""
        if request.dry_run and hook.spec.get("sideEffects") not in _NO_SIDE_EFFECTS:
            raise bad_request(f"admission webhook {quoted(hook.name)} does not support dry run")
        try:
            reply = await self._call(hook, request, kind, resource, mutating=mutating)
        except CallError as error:
            if hook.ignores_failures:
                log.warning("%s: webhook %s of %s failed, ignored: %s", _what(request), *_who(hook), error)
                return None
            raise replies.internal(f"failed calling webhook {quoted(hook.name)}: {error}") from error
        request.warnings.extend(reply.warnings)
        if not reply.allowed:
            raise replies.rejection(hook.name, reply)
        return reply

    async def _call(
        self, hook: Hook, request: Request, kind: Kind, resource: Resource, *, mutating: bool
    ) -> replies.Reply:
        version = next((one for one in hook.spec.get("admissionReviewVersions") or () if one in _VERSIONS), None)
        if version is None:
            known = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise CallError(f"could not create admission objects: {known}")
        uid = str(uuid.uuid4())
        body = request.review(kind, resource, version, uid)
        answer = await self._caller.post(client_of(hook), body, hook.seconds)
        return replies.read(answer, uid, version, mutating=mutating)


def _who(hook: Hook) -> tuple[str, str]:
    return hook.name, hook.configuration


def _what(request: Request) -> str:
    return f"{request.operation.lower()} of {request.resource.resource} {request.home}/{request.name}"
