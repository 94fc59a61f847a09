"""Rules of webhooks: where they are, and which versions of a review they speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from events.local.apiserver import names
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.causes import Cause

Object = Mapping[str, Any]

_FORM = "desired format: https://host[/path]"


def client(config: Object, path: str) -> list[Cause]:
    """A client configuration: exactly one of `url` and `service`."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [causes.required(path, "exactly one of url or service is required")]
    return _url(url, f"{path}.url") if service is None else _service(service, f"{path}.service")


def _url(url: Any, path: str) -> list[Cause]:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        return [causes.required(path, f"url must be a valid URL: {error}; {_FORM}")]
    found: list[Cause] = []
    if parts.scheme != "https":
        found.append(causes.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; {_FORM}"))
    if not host:
        found.append(causes.invalid(path, parts.netloc, f"host must be specified; {_FORM}"))
    if parts.username is not None:
        found.append(causes.invalid(path, parts.username, "user information is not permitted in the URL"))
    if parts.fragment:
        found.append(causes.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        found.append(causes.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return found


def _service(service: Object, path: str) -> list[Cause]:
    found = [
        causes.required(f"{path}.{key}", f"service {key} is required")
        for key in ("name", "namespace")
        if not service.get(key)
    ]
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        found.append(causes.invalid(f"{path}.port", port, "port is not valid: must be between 1 and 65535, inclusive"))
    where = service.get("path")
    if not where or where == "/":
        return found
    if not where.startswith("/"):
        found.append(causes.invalid(f"{path}.path", where, "must start with a '/'"))
    checked = where[1:] if where.startswith("/") else where
    for index, step in enumerate(checked.removesuffix("/").split("/")):
        if not step:
            found.append(causes.invalid(f"{path}.path", where, f"segment[{index}] may not be empty"))
        else:
            for wrong in names.dns1123_subdomain(step):
                found.append(causes.invalid(f"{path}.path", where, f"segment[{index}]: {wrong}"))
    return found


def review_versions(versions: Sequence[str], path: str, accepted: Sequence[str], missing: str = "") -> list[Cause]:
    """The versions of a review; at least one that is spoken here."""
    if not versions:
        return [causes.required(path, missing)]
    found: list[Cause] = []
    for index, version in enumerate(versions):
        if version in versions[:index]:
            found.append(causes.invalid(f"{path}[{index}]", version, "duplicate version"))
        else:
            found += causes.each(f"{path}[{index}]", version, names.dns1035_label(version))
    if not set(versions) & set(accepted):
        says = f"must include at least one of {', '.join(accepted)}"
        found.append(causes.invalid(path, list(versions), says))
    return found
