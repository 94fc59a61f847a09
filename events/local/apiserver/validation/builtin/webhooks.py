"""Rules of webhook configurations, admission policies and their bindings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from events.local.apiserver import cel, names
from events.local.apiserver.cel import types
from events.local.apiserver.validation import causes, selectors, urls
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_POLICIES = ("Fail", "Ignore")
_MATCHES = ("Equivalent", "Exact")
_EFFECTS = ("None", "NoneOnDryRun")
_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_REINVOCATIONS = ("IfNeeded", "Never")
_ACTIONS = ("Audit", "Deny", "Warn")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_REVIEWS = ("v1", "v1beta1")
_NAMES = ("object", "oldObject", "request", "params", "namespaceObject", "variables", "authorizer")
VARIABLES: Mapping[str, types.Type] = dict.fromkeys(_NAMES, types.DYN)
"""What an expression of admission may name."""


def configuration(it: Object) -> list[Cause]:
    """The webhooks of a configuration."""
    found: list[Cause] = []
    taken: set[str] = set()
    for index, hook in enumerate(it.get("webhooks") or ()):
        here, name = f"webhooks[{index}]", hook.get("name", "")
        found += _hook(hook, here)
        missing = f"must specify one of {', '.join(_REVIEWS)}"
        versions = hook.get("admissionReviewVersions") or ()
        found += urls.review_versions(versions, f"{here}.admissionReviewVersions", _REVIEWS, missing)
        if name and name in taken:
            found.append(causes.duplicate(f"{here}.name", name))
        taken.add(name)
    return found


def _hook(hook: Object, path: str) -> list[Cause]:
    found = _qualified(hook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        found += _rule(rule, f"{path}.rules[{index}]")
    for key, allowed in (("failurePolicy", _POLICIES), ("matchPolicy", _MATCHES)):
        if hook.get(key) not in (None, *allowed):
            found.append(causes.not_supported(f"{path}.{key}", hook[key], allowed))
    effects = hook.get("sideEffects") or None
    if effects is None:
        found.append(causes.required(f"{path}.sideEffects", f"must specify one of {', '.join(_EFFECTS)}"))
    elif effects not in _EFFECTS:
        found.append(causes.not_supported(f"{path}.sideEffects", effects, _EFFECTS))
    timeout = hook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= 30:
        says = "the timeout value must be between 1 and 30 seconds"
        found.append(causes.invalid(f"{path}.timeoutSeconds", timeout, says))
    found += selectors.check(f"{path}.namespaceSelector", hook.get("namespaceSelector"))
    found += selectors.check(f"{path}.objectSelector", hook.get("objectSelector"))
    if hook.get("reinvocationPolicy") not in (None, *_REINVOCATIONS):
        found.append(causes.not_supported(f"{path}.reinvocationPolicy", hook["reinvocationPolicy"], _REINVOCATIONS))
    found += urls.client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    return found + _conditions(hook.get("matchConditions") or (), f"{path}.matchConditions")


def _qualified(name: str, path: str) -> list[Cause]:
    if not name:
        return [causes.required(path)]
    if wrong := names.dns1123_subdomain(name):
        return [causes.invalid(path, name, ",".join(wrong))]
    if name.count(".") < 2:
        says = "should be a domain with at least three segments separated by dots"
        return [causes.invalid(path, name, says)]
    return []


def _rule(rule: Object, path: str) -> list[Cause]:
    found: list[Cause] = []
    operations = rule.get("operations") or ()
    if not operations:
        found.append(causes.required(f"{path}.operations"))
    if len(operations) > 1 and "*" in operations:
        says = "if '*' is present, must not specify other operations"
        found.append(causes.invalid(f"{path}.operations", operations, says))
    for index, one in enumerate(operations):
        if one not in _OPERATIONS:
            found.append(causes.not_supported(f"{path}.operations[{index}]", one, _OPERATIONS))
    for key, called in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(key) or ()
        if not values:
            found.append(causes.required(f"{path}.{key}"))
        if len(values) > 1 and "*" in values:
            says = f"if '*' is present, must not specify other {called}"
            found.append(causes.invalid(f"{path}.{key}", values, says))
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            found.append(causes.required(f"{path}.apiVersions[{index}]"))
    found += _resources(rule.get("resources") or (), f"{path}.resources")
    if rule.get("scope") not in (None, *_SCOPES):
        found.append(causes.not_supported(f"{path}.scope", rule["scope"], _SCOPES))
    return found


def _resources(resources: Sequence[str], path: str) -> list[Cause]:
    if not resources:
        return [causes.required(path)]
    found: list[Cause] = []
    of_all: set[str] = set()
    all_of: set[str] = set()
    plain = False
    for index, one in enumerate(resources):
        if not one:
            found.append(causes.required(f"{path}[{index}]"))
            continue
        resource, slash, sub = one.partition("/")
        if not slash:
            plain = one != "*"
            continue
        for seen, key, shown in ((of_all, resource, f"{resource}/*"), (all_of, sub, f"*/{sub}")):
            if key in seen:
                says = f"if '{shown}' is present, must not specify {one}"
                found.append(causes.invalid(f"{path}[{index}]", one, says))
        of_all |= {resource} if sub == "*" else set()
        all_of |= {sub} if resource == "*" else set()
    if len(resources) > 1 and "*/*" in resources:
        says = "if '*/*' is present, must not specify other resources"
        found.append(causes.invalid(path, list(resources), says))
    if "*" in resources and plain:
        says = "if '*' is present, must not specify other resources without subresources"
        found.append(causes.invalid(path, list(resources), says))
    return found


def _conditions(conditions: Sequence[Object], path: str) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    for index, one in enumerate(conditions):
        here, name = f"{path}[{index}]", one.get("name", "")
        found += _expression(one.get("expression", ""), f"{here}.expression", wanted=types.BOOL)
        if not name:
            found.append(causes.required(f"{here}.name"))
        else:
            found += causes.each(f"{here}.name", name, names.qualified_name(name))
        if name and name in taken:
            found.append(causes.duplicate(f"{here}.name", name))
        taken.add(name)
    return found


def _expression(text: str, path: str, wanted: types.Type | None = None) -> list[Cause]:
    if not text.strip():
        return [causes.required(path, "expression is not specified" if path.endswith("].expression") else "")]
    try:
        program = cel.compile_expression(text, VARIABLES)
    except cel.CompileError as error:
        return [causes.invalid(path, text, f"compilation failed: {error}")]
    if wanted and program.result not in (wanted, types.DYN):
        return [causes.invalid(path, text, f"must evaluate to {wanted}")]
    return []


def policy(it: Object) -> list[Cause]:
    """What a ValidatingAdmissionPolicy matches, and what it asks."""
    spec = it.get("spec") or {}
    found: list[Cause] = []
    if spec.get("failurePolicy") not in _POLICIES:
        found.append(causes.not_supported("spec.failurePolicy", spec.get("failurePolicy", ""), _POLICIES))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        found.append(causes.required("spec.matchConstraints"))
    else:
        found += _constraints(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            found.append(causes.required("spec.matchConstraints.resourceRules"))
    found += _conditions(spec.get("matchConditions") or (), "spec.matchConditions")
    for index, one in enumerate(spec.get("variables") or ()):
        found += _expression(one.get("expression", ""), f"spec.variables[{index}].expression")
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        says = "validations or auditAnnotations must contain at least one item"
        found += [causes.required(f"spec.{key}", says) for key in ("validations", "auditAnnotations")]
    for index, one in enumerate(spec.get("validations") or ()):
        here = f"spec.validations[{index}]"
        found += _expression(one.get("expression", ""), f"{here}.expression", wanted=types.BOOL)
        if text := one.get("messageExpression"):
            found += _expression(text, f"{here}.messageExpression", wanted=types.STRING)
        if one.get("reason") not in (None, *_REASONS):
            found.append(causes.not_supported(f"{here}.reason", one["reason"], _REASONS))
    return found


def _constraints(given: Object, path: str) -> list[Cause]:
    found: list[Cause] = []
    if given.get("matchPolicy") not in (None, *_MATCHES):
        found.append(causes.not_supported(f"{path}.matchPolicy", given["matchPolicy"], _MATCHES))
    for key in ("namespaceSelector", "objectSelector"):
        found += selectors.check(f"{path}.{key}", given.get(key))
    for key in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(given.get(key) or ()):
            found += _rule(rule, f"{path}.{key}[{index}]")
    return found


def binding(it: Object) -> list[Cause]:
    """Which policy, for what, with which effect."""
    spec = it.get("spec") or {}
    name = spec.get("policyName", "")
    found = (
        causes.each("spec.policyName", name, names.dns1123_subdomain(name))
        if name
        else [causes.required("spec.policyName")]
    )
    if spec.get("matchResources") is not None:
        found += _constraints(spec["matchResources"], "spec.matchResources")
    actions, path = spec.get("validationActions") or [], "spec.validationActions"
    for index, one in enumerate(actions):
        if one not in _ACTIONS:
            found.append(causes.not_supported(f"{path}[{index}]", one, _ACTIONS))
        if one in actions[:index]:
            found.append(causes.duplicate(f"{path}[{index}]", one))
    if "Deny" in actions and "Warn" in actions:
        says = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API "
            "response and headers serves no purpose)"
        )
        found.append(causes.invalid(path, actions, says))
    if not actions:
        found.append(causes.required(path, "at least one validation action is required"))
    return found
