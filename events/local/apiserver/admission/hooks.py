"""Webhooks as configured: read once when a configuration is written, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from events.local.apiserver.admission.expressions import Conditions
from events.local.apiserver.admission.request import Object

MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
_DEFAULT_SECONDS = 10


@dataclass(frozen=True)
class Hook:
    """One webhook of a configuration."""

    configuration: str
    index: int
    spec: Object

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def key(self) -> tuple[str, int]:
        """Which it is, among all."""
        return self.configuration, self.index

    @property
    def seconds(self) -> int:
        return int(self.spec.get("timeoutSeconds") or _DEFAULT_SECONDS)

    @property
    def ignores_failures(self) -> bool:
        return bool(self.spec.get("failurePolicy") == "Ignore")

    @property
    def rules(self) -> list[Object]:
        return list(self.spec.get("rules") or ())

    @cached_property
    def conditions(self) -> Conditions:
        """Compiled when first needed."""
        return Conditions(self.spec.get("matchConditions"))


class Hooks:
    """All webhooks of one kind of configuration; the store reports each change."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._by_name: dict[str, list[Hook]] = {}

    def changed(self, old: Object | None, new: Object | None) -> None:
        """A configuration was created (`old` None), replaced or removed (`new` None)."""
        it = new if new is not None else old
        if it is None or it["kind"] != self.kind:
            return
        name = it["metadata"]["name"]
        self._by_name.pop(name, None)
        if new is not None:
            self._by_name[name] = [Hook(name, index, spec) for index, spec in enumerate(new.get("webhooks") or ())]

    def __iter__(self) -> Iterator[Hook]:
        for _, hooks in sorted(self._by_name.items()):
            yield from hooks

    def __bool__(self) -> bool:
        return bool(self._by_name)


def client_of(hook: Hook) -> Mapping[str, Any]:
    """`clientConfig`: either `url` or `service`, and the authority to trust."""
    client: Mapping[str, Any] = hook.spec.get("clientConfig") or {}
    return client
