"""What an API server means when it refuses for want of a permission: who lacks what, and how it is given.

Servers word such a refusal alike since RBAC exists; other refusals with 403 (a quota, an admission webhook, a namespace
that is going) are none of these.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from events.errors import ActionError
from events.kube.api import KubeApi, KubeError, Object
from events.mounted import where

_DENIAL = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>[a-z*]+) resource "(?P<resource>[^"]+)"'
    r' in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)"| at the cluster scope)'
)
_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")
_NOT_NAME = re.compile(r"[^a-z0-9.-]+")
ANONYMOUS = "system:anonymous"
REVIEW = "authorization.k8s.io/v1"
MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, slots=True)
class Missing:
    """A permission that somebody has not."""

    user: str
    verb: str
    resource: str
    """Plural, with its subresource: `pods/log`."""
    group: str
    namespace: str
    """Empty: in all of the cluster."""

    @property
    def account(self) -> tuple[str, str] | None:
        """Namespace and name of the ServiceAccount; None: it is another kind of user."""
        found = _ACCOUNT.fullmatch(self.user)
        return (found[1], found[2]) if found else None

    def __str__(self) -> str:
        """One sentence."""
        account = self.account
        who = f"ServiceAccount {account[1]!r} of namespace {account[0]!r}" if account else f"user {self.user!r}"
        where = f"in namespace {self.namespace!r}" if self.namespace else "in all of the cluster"
        group = f"API group {self.group!r}" if self.group else "the core API group"
        return f"{who} may not {self.verb} {self.resource} of {group} {where}"

    @property
    def cure(self) -> str:
        """Commands that give it."""
        if self.user == ANONYMOUS:
            return "the request carried no credentials that the server knows: look at the token of the ServiceAccount"
        account = self.account
        whose = account[1] if account else self.user.rpartition(":")[2]
        parts = (whose, self.verb if self.verb != "*" else "all", self.resource.replace("/", "-"))
        name = _NOT_NAME.sub("-", "-".join(parts).lower()).strip("-.")
        kind, where = ("role", f" -n {self.namespace}") if self.namespace else ("clusterrole", "")
        subject = f"--serviceaccount={account[0]}:{account[1]}" if account else f"--user={self.user}"
        plural, slash, part = self.resource.partition("/")
        resource = f"{plural}.{self.group}{slash}{part}" if self.group else self.resource
        return (
            f"kubectl create {kind} {name} --verb={self.verb} --resource={resource}{where}"
            f" && kubectl create {kind}binding {name} --{kind}={name} {subject}{where}"
        )


class Forbidden(KubeError):
    """A refusal for want of a permission: 403, with what is missing and how it is given in the message."""

    def __init__(self, message: str, missing: Missing) -> None:
        super().__init__(403, "Forbidden", message)
        self.missing = missing

    def __str__(self) -> str:
        return f"{self.missing}; cure: {self.missing.cure} (403 Forbidden: {self.message})"


def refusal(status: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> KubeError:
    """The error of an answer."""
    lacking = missing(message) if status == 403 else None
    return KubeError(status, reason, message, details) if lacking is None else Forbidden(message, lacking)


def missing(message: str) -> Missing | None:
    """The permission that a refusal names; None: it was refused for another reason."""
    found = _DENIAL.search(message)
    return Missing(**{name: value or "" for name, value in found.groupdict().items()}) if found else None


async def is_granted(kube: KubeApi, wanted: Missing) -> bool:
    """Whether the caller may do it by now: every user may ask that of itself. Raises ActionError."""
    plural, _, part = wanted.resource.partition("/")
    attributes = {"namespace": wanted.namespace, "verb": wanted.verb, "group": wanted.group}
    attributes |= {"resource": plural, "subresource": part}
    review: Object = {"apiVersion": REVIEW, "kind": "SelfSubjectAccessReview", "metadata": {}}
    answer = await kube.create(review | {"spec": {"resourceAttributes": attributes}})
    allowed = (answer.get("status") or {}).get("allowed")
    if not isinstance(allowed, bool):
        raise ActionError("the API server reviews no access")
    return allowed


def own_account(folder: str = MOUNTED) -> str:
    """The user that a pod is to the API server, as its token says; empty: this is no pod, or it has no token."""
    try:
        part = (Path(where(folder)) / "token").read_text(encoding="ascii").split(".")[1]
        subject = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return subject if isinstance(subject, str) and _ACCOUNT.fullmatch(subject) else ""
