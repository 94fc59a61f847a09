"""TokenRequest and TokenReview: tokens asked for, and asked about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from events.local.apiserver.access.refusals import bad_request, conflict, invalid, not_found
from events.local.apiserver.access.tokens import ObjectLookup, TokenError, Tokens
from events.local.apiserver.validation import causes

Object = Mapping[str, Any]

_GROUP = "authentication.k8s.io"
_SHORTEST = 600
_LONGEST = 1 << 32
_DEFAULT = 3_600
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


def defaulted(it: Object) -> dict[str, Any]:
    """A TokenRequest as it is before ownership of its fields is recorded: with a life."""
    spec = dict(it.get("spec") or {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _DEFAULT
    return {**it, "spec": spec}


def request(it: Object, namespace: str, name: str, tokens: Tokens, objects: ObjectLookup, now: float) -> dict[str, Any]:
    """The answer to `POST …/serviceaccounts/NAME/token`: the request with its token. Raises StatusError."""
    it = defaulted(it)
    metadata, spec = dict(it.get("metadata") or {}), dict(it["spec"])
    for key, value in (("name", name), ("namespace", namespace)):
        if metadata.get(key) and metadata[key] != value:
            says = f"must match the service account {key} if specified"
            raise invalid(_GROUP, "TokenRequest", name, [causes.invalid(f"metadata.{key}", metadata[key], says)])
    account = objects.get("serviceaccounts", namespace, name)
    if account is None:
        raise not_found("", "serviceaccounts", name)
    uid = account["metadata"]["uid"]
    if metadata.get("uid") and metadata["uid"] != uid:
        says = f"the UID in the token request ({metadata['uid']}) does not match the UID of the service account ({uid})"
        raise conflict(_GROUP, "TokenRequest", name, says)
    spec["audiences"] = list(spec.get("audiences") or (tokens.issuer,))
    seconds = spec["expirationSeconds"]
    _check_life(seconds)
    reference = spec.setdefault("boundObjectRef", None)
    bound = _bound(reference, namespace, name, objects) if reference else {}
    token = tokens.issue(account, spec["audiences"], seconds, now, bound)
    metadata |= {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": _stamp(now)}
    status = {"token": token, "expirationTimestamp": _stamp(now + seconds)}
    return {**it, "metadata": metadata, "spec": spec, "status": status}


def review(it: Object, tokens: Tokens, now: float) -> dict[str, Any]:
    """The answer to a TokenReview. Raises StatusError 400 when there is no token in it."""
    spec = it.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    status: dict[str, Any] = {"user": {}}
    try:
        verified = tokens.verify(spec["token"], now, spec.get("audiences") or ())
        if verified is None:
            status["error"] = "invalid bearer token"
        else:
            status = {"authenticated": True, "user": verified.user.info(), "audiences": list(verified.audiences)}
    except TokenError as error:
        status["error"] = f"[invalid bearer token, {error}]"
    return {**it, "status": status}


def _check_life(seconds: int) -> None:
    if seconds < _SHORTEST:
        says = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST:
        says = "may not specify a duration larger than 2^32 seconds"
    else:
        return
    raise invalid(_GROUP, "TokenRequest", "", [causes.invalid("spec.expirationSeconds", seconds, says)])


def _bound(reference: Object, namespace: str, account: str, objects: ObjectLookup) -> dict[str, Object]:
    """The objects that the token lives with."""
    version, kind, name = reference.get("apiVersion", ""), reference.get("kind", ""), reference.get("name", "")
    resource = _BINDABLE.get(kind) if "/" not in version else None
    if resource is None:
        group, _, version = version.rpartition("/")
        raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
    it = objects.get(resource, "" if kind == "Node" else namespace, name)
    if it is None:
        raise not_found("", resource, name)
    uid = it["metadata"]["uid"]
    bound = {kind.lower(): it}
    if kind == "Pod":
        if (it.get("spec") or {}).get("serviceAccountName") != account:
            says = "to pod running with different serviceaccount name."
            raise bad_request(f"cannot bind token for serviceaccount {causes.quoted(account)} {says}")
        if node := it["spec"].get("nodeName"):
            bound["node"] = objects.get("nodes", "", node) or {"metadata": {"name": node}}
    if reference.get("uid") and reference["uid"] != uid:
        says = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record."
        raise conflict("", kind, name, f"{says} The object might have been deleted and then recreated")
    return bound


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
