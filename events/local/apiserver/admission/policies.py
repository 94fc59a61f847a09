"""ValidatingAdmissionPolicy: rules in CEL, put into force by bindings. No process is asked: they run here, bounded.

Not there: the variable `authorizer`, and audit annotations (there is no audit log).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from events.local.apiserver import cel
from events.local.apiserver.admission import expressions, matching
from events.local.apiserver.admission.expressions import STEPS, Conditions, Expression, Lazy
from events.local.apiserver.admission.matching import Equivalents
from events.local.apiserver.admission.request import Kind, NamespaceLookup, Object, Request, Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import selectors

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_LONGEST_MESSAGE = 5 * 1024
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
_NO_PARAMS = "no params found for policy binding with `Deny` parameterNotFoundAction"


class ParameterLookup(Protocol):
    """Reads the objects that policies are given."""

    def is_namespaced(self, api_version: str, kind: str) -> bool | None:
        """Whether a kind is in namespaces; None for a kind that there is not."""

    def parameters(self, api_version: str, kind: str, namespace: str) -> Iterable[Object]:
        """All objects of a kind, of a namespace unless that is empty."""


class _Misconfigured(Exception):
    """A policy or binding that cannot be applied as it is written."""


@dataclass(frozen=True)
class _Denial:
    message: str
    reason: str = "Invalid"


@dataclass(frozen=True)
class _Policy:
    it: Object

    @property
    def name(self) -> str:
        return str(self.it["metadata"]["name"])

    @property
    def spec(self) -> Object:
        return self.it.get("spec") or {}

    @property
    def ignores_failures(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"

    @cached_property
    def conditions(self) -> Conditions:
        return Conditions(self.spec.get("matchConditions"))

    @cached_property
    def variables(self) -> list[tuple[str, Expression]]:
        return [(one["name"], Expression(one["expression"])) for one in self.spec.get("variables") or ()]

    @cached_property
    def validations(self) -> list[tuple[Object, Expression, Expression | None]]:
        """Each with its expression and that of its message."""
        found: list[tuple[Object, Expression, Expression | None]] = []
        for one in self.spec.get("validations") or ():
            says = one.get("messageExpression")
            found.append((one, Expression(one["expression"]), Expression(says) if says else None))
        return found


class Policies:
    """All policies and bindings; the store reports each change."""

    def __init__(
        self, namespaces: NamespaceLookup, parameters: ParameterLookup, equivalents: Equivalents | None = None
    ) -> None:
        self._namespaces, self._parameters, self._equivalents = namespaces, parameters, equivalents
        self._policies: dict[str, _Policy] = {}
        self._bindings: dict[str, Object] = {}

    def changed(self, old: Object | None, new: Object | None) -> None:
        """A policy or binding was created (`old` None), replaced or removed (`new` None)."""
        it = new if new is not None else old
        if it is None:
            return
        name = it["metadata"]["name"]
        if it["kind"] == POLICY:
            self._policies.pop(name, None)
            if new is not None:
                self._policies[name] = _Policy(new)
        elif it["kind"] == BINDING:
            self._bindings.pop(name, None)
            if new is not None:
                self._bindings[name] = new

    def __bool__(self) -> bool:
        return bool(self._policies) and bool(self._bindings)

    def validate(self, request: Request) -> None:
        """Refuse what a policy in force denies; warnings are added to the request. Raises StatusError."""
        if matching.is_exempt_from_policies(request):
            return
        for name, binding in sorted(self._bindings.items()):
            policy = self._policies.get((binding.get("spec") or {}).get("policyName", ""))
            if policy is not None:
                self._apply(policy, name, binding["spec"], request)

    def _apply(self, policy: _Policy, name: str, binding: Object, request: Request) -> None:
        who = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{name}'"
        meant = self._meant(policy.spec.get("matchConstraints") or {}, request)
        if meant is None or self._meant(binding.get("matchResources") or {}, request) is None:
            return
        try:
            denials = list(self._denials(policy, binding, request, *meant))
            actions = binding.get("validationActions") or ()
        except _Misconfigured as error:
            if policy.ignores_failures:
                return
            denials, actions = [_Denial(f"failed to configure binding: {error}")], ("Deny",)
        for denial in denials if "Warn" in actions else ():
            request.warnings.append(f"Validation failed for {who}: {denial.message}")
        if denials and "Deny" in actions:
            raise _refusal(request, f"{who} denied request: {denials[0].message}", denials[0].reason)

    def _meant(self, match: Object, request: Request) -> tuple[Kind, Resource] | None:
        policy = match.get("matchPolicy") or "Equivalent"
        if not matching.object_matches(match.get("objectSelector"), request):
            return None
        if not matching.namespace_matches(match.get("namespaceSelector"), request, self._namespaces):
            return None
        if matching.matched(match.get("excludeResourceRules") or (), policy, request, self._equivalents):
            return None
        rules = match.get("resourceRules")
        if not rules:
            return request.kind, request.resource
        return matching.matched(rules, policy, request, self._equivalents)

    def _denials(
        self, policy: _Policy, binding: Object, request: Request, kind: Kind, resource: Resource
    ) -> Iterator[_Denial]:
        for params in self._params(policy, binding.get("paramRef"), request):
            scope = expressions.variables(request, kind, resource, self._namespaces, params)
            budget = cel.Budget(STEPS)
            scope["variables"] = Lazy(policy.variables, scope, budget)
            yield from _judged(policy, scope, budget)

    def _params(self, policy: _Policy, reference: Object | None, request: Request) -> Sequence[Object | None]:
        kind = policy.spec.get("paramKind")
        if not kind or reference is None:
            return (None,)
        version, name = kind.get("apiVersion", ""), kind.get("kind", "")
        namespaced = self._parameters.is_namespaced(version, name)
        if namespaced is None:
            raise _Misconfigured(f"paramKind kind `{version}, Kind={name}` not known")
        namespace = reference.get("namespace") or ""
        if not namespaced and namespace:
            raise _Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        if namespaced and not (namespace := namespace or request.namespace):
            says = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            raise _Misconfigured(says)
        found = [it for it in self._parameters.parameters(version, name, namespace) if _is_referred(it, reference)]
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise _Misconfigured(_NO_PARAMS)
        return found


def _is_referred(it: Object, reference: Object) -> bool:
    if reference.get("name"):
        return bool(it["metadata"]["name"] == reference["name"])
    return selectors.matches(reference.get("selector") or {}, matching.labels(it))


def _judged(policy: _Policy, scope: Mapping[str, Any], budget: cel.Budget) -> Iterator[_Denial]:
    """The validations that do not hold, with their messages; a failure counts as one unless failures are ignored."""
    try:
        if not policy.conditions.hold(lambda: scope):
            return
    except cel.CelError as error:
        if not policy.ignores_failures:
            yield _Denial(str(error))
        return
    for validation, expression, message in policy.validations:
        try:
            holds = expression.run(scope, budget) is True
        except cel.CostExceeded:
            if not policy.ignores_failures:
                yield _Denial(_OUT_OF_BUDGET)
            return
        except cel.CelError as error:
            if not policy.ignores_failures:
                yield _Denial(str(error))
            continue
        if not holds:
            yield _Denial(_message(validation, message, scope, budget), validation.get("reason") or "Invalid")


def _message(validation: Object, expression: Expression | None, scope: Mapping[str, Any], budget: cel.Budget) -> str:
    said = ""
    if expression is not None:
        try:
            value = expression.run(scope, budget)
        except cel.CelError:
            value = None
        if isinstance(value, str) and len(value) <= _LONGEST_MESSAGE and "\n" not in value.strip():
            said = value.strip()
    said = said or str(validation.get("message") or "").strip()
    return said or f"failed expression: {str(validation['expression']).strip()}"


def _refusal(request: Request, message: str, reason: str) -> StatusError:
    refused = request.forbidden(message)
    details = {**(refused.details or {}), "causes": [{"message": message}]}
    return StatusError(_CODES.get(reason, 422), reason, refused.message, details)
