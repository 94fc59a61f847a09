"""All of admission, as the server sees it: feed it the changes of its configuration, ask it around each write."""

from __future__ import annotations

from dataclasses import replace

from events.local.apiserver.access.tokens import ObjectLookup
from events.local.apiserver.admission import matching, namespaces, service_accounts
from events.local.apiserver.admission.calling import Caller
from events.local.apiserver.admission.hooks import MUTATING, VALIDATING, Hooks
from events.local.apiserver.admission.matching import Equivalents
from events.local.apiserver.admission.policies import ParameterLookup, Policies
from events.local.apiserver.admission.request import NamespaceLookup, Object, Request
from events.local.apiserver.admission.webhooks import Rounds, Webhooks


class Admission:
    """Namespaces, service accounts, policies, webhooks. `close` it."""

    def __init__(
        self,
        spaces: NamespaceLookup,
        objects: ObjectLookup,
        parameters: ParameterLookup,
        caller: Caller,
        equivalents: Equivalents | None = None,
    ) -> None:
        self._spaces, self._objects, self._caller = spaces, objects, caller
        self._mutating, self._validating = Hooks(MUTATING), Hooks(VALIDATING)
        self._policies = Policies(spaces, parameters, equivalents)
        self._webhooks = Webhooks(caller, spaces, equivalents)

    def changed(self, old: Object | None, new: Object | None) -> None:
        """A webhook configuration, policy or binding was created (`old` None), replaced or removed (`new` None)."""
        self._mutating.changed(old, new)
        self._validating.changed(old, new)
        self._policies.changed(old, new)

    async def close(self) -> None:
        """Close the connections to webhooks."""
        await self._caller.close()

    async def mutate(self, request: Request) -> Object | None:
        """The object to store: check its namespace, fill in a pod, ask mutating webhooks. Raises StatusError.

        Called with ownership of fields already settled, so that what is added here belongs to nobody.
        """
        namespaces.check(request, self._spaces)
        if not self._mutating and not service_accounts.concerns(request):
            return request.new
        rounds = Rounds()
        request = await self._round(request, rounds)
        if rounds.wanted:
            rounds.is_second = True
            request = await self._round(request, rounds)
        return request.new

    async def validate(self, request: Request) -> None:
        """Ask policies, then validating webhooks, about the object as it will be stored. Raises StatusError."""
        if self._policies:
            self._policies.validate(request)
        if self._validating and not matching.is_exempt(request):
            await self._webhooks.validate(self._validating, request)

    async def _round(self, request: Request, rounds: Rounds) -> Request:
        if service_accounts.concerns(request):
            request = replace(request, new=await service_accounts.complete(request, self._objects))
        if self._mutating and not matching.is_exempt(request):
            request = await self._webhooks.mutate(self._mutating, request, rounds)
        return request
