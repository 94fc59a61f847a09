"""Answers of webhooks: verified, then a permission, a refusal, or a changed object."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from events.local.apiserver.admission.calling import CallError
from events.local.apiserver.patches import documents, json_patch
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation.causes import quoted

Object = Mapping[str, Any]

_NO_HEAD = (
    "failed to call webhook: couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of "
    'type struct {{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }}'
)


@dataclass(frozen=True)
class Reply:
    """What a webhook said."""

    allowed: bool
    status: Object = field(default_factory=dict)
    patch: list[dict[str, Any]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()


def read(answer: Any, uid: str, version: str, *, mutating: bool) -> Reply:
    """A verified answer. Raises `CallError`."""
    if not isinstance(answer, dict):
        raise CallError(_NO_HEAD.format(documents.name_of(answer)))
    response = answer.get("response")
    if not isinstance(response, dict):
        raise _bad("webhook response was absent")
    if version == "v1":
        _check_head(answer, response, uid)
    if not mutating:
        for key in ("patch", "patchType"):
            if response.get(key):
                raise _bad(f"validating webhook may not return response.{key}")
    status, warnings = response.get("status"), response.get("warnings")
    return Reply(
        response.get("allowed") is True,
        status if isinstance(status, dict) else {},
        _patch(response, version) if mutating else [],
        tuple(str(one) for one in warnings) if isinstance(warnings, list) else (),
    )


def _check_head(answer: Object, response: Object, uid: str) -> None:
    if response.get("uid", "") != uid:
        raise _bad(f"expected response.uid={quoted(uid)}, got {quoted(str(response.get('uid', '')))}")
    group, _, version = str(answer.get("apiVersion", "")).rpartition("/")
    if (group, version, answer.get("kind")) != ("admission.k8s.io", "v1", "AdmissionReview"):
        got = f"{group}/{version}, Kind={answer.get('kind', '')}"
        raise _bad(f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {got}")


def _patch(response: Object, version: str) -> list[dict[str, Any]]:
    coded, kind = response.get("patch") or "", response.get("patchType")
    if version == "v1":
        if coded and kind is None:
            raise _bad("webhook returned response.patch but not response.patchType")
        if not coded and kind is not None:
            raise _bad("webhook returned response.patchType but not response.patch")
        if kind == "":
            raise _bad('webhook returned invalid response.patchType of ""')
    if not coded:
        return []
    try:
        found = orjson.loads(base64.b64decode(coded, validate=True))
    except (binascii.Error, orjson.JSONDecodeError, TypeError) as error:
        raise CallError(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise CallError("received undecodable patch in webhook response: not a list of operations")
    if found and version == "v1" and kind != "JSONPatch":
        raise CallError(f"unsupported patch type {quoted(str(kind))}")
    if len(found) > json_patch.MOST_OPERATIONS:
        raise CallError(f"received undecodable patch in webhook response: more than {json_patch.MOST_OPERATIONS}")
    return found


def _bad(why: str) -> CallError:
    return CallError(f"received invalid webhook response: {why}")


def rejection(hook: str, reply: Reply) -> StatusError:
    """The refusal that the user sees: code and reason are the webhook's, when they are those of a failure."""
    code, reason, message = (reply.status.get(key) for key in ("code", "reason", "message"))
    said = message or reason
    denied = f"admission webhook {quoted(hook)} denied the request"
    details = reply.status.get("details")
    return StatusError(
        code if isinstance(code, int) and 400 <= code < 600 else 400,
        str(reason or ""),
        f"{denied}: {said}" if said else f"{denied} without explanation",
        details if isinstance(details, dict) else None,
    )


def patched(it: Object, operations: list[dict[str, Any]]) -> dict[str, Any]:
    """The object after a patch. Raises StatusError 500 that names the operation that does not fit."""
    for operation in operations:
        try:
            it = json_patch.apply(it, [operation])
        except StatusError as error:
            raise internal(_misfit(it, operation)) from error
        if not isinstance(it, dict):
            raise internal("the patch leaves no object")
    return dict(it)


def internal(why: str) -> StatusError:
    """Not the user's fault."""
    details = {"causes": [{"message": why}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {why}", details)


def _misfit(it: Object, operation: Mapping[str, Any]) -> str:
    """Why an operation does not fit, in the words of the library that a real server uses."""
    kind, path = operation.get("op"), str(operation.get("path", ""))
    last = path.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
    if kind == "test":
        return f"testing value {path} failed: test failed"
    if kind == "replace":
        return f"replace operation does not apply: doc is missing key: {path}: missing value"
    if kind == "remove" and isinstance(_container(it, path), dict):
        return f"error in remove for path: '{path}': Unable to remove nonexistent key: {last}: missing value"
    if kind in ("add", "remove"):
        return f'{kind} operation does not apply: doc is missing path: "{path}": missing value'
    if kind in ("move", "copy"):
        return f"{kind} operation does not apply: doc is missing from path: {operation.get('from', '')}: missing value"
    return f"Unexpected kind: {kind}"


def _container(it: Any, path: str) -> Any:
    for step in path.split("/")[1:-1]:
        it = it.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(it, dict) else None
    return it
