"""URI references as Go's net/url reads them and writes them again: the form that `source` has on the bus.

Names of objects come out as they went in; other publishers' sources are escaped as upstream's SDK does.
"""

from __future__ import annotations

import re

from events.errors import UserError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_NO_SCHEME = re.compile(r"[A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_PORT = re.compile(r"(?::[0-9]*)?")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
# ASCII may not be escaped in a host, but for the percent sign of an address's zone.
_HOST_NAME = re.compile(r"""(?:[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>"]|[^\x00-\x7f]|%25|%[89A-Fa-f][0-9A-Fa-f])*""")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_PATH = _UNRESERVED | frozenset(b"$&+,/:;=@")
_FRAGMENT = _PATH | frozenset(b"?!()*")
_HOST = _UNRESERVED | frozenset(b"!$&'()*+,;=:[]<>\"")
_USER = _UNRESERVED | frozenset(b"$&+,;=")
# What may stand unescaped where it was written so: RFC 3986 allows it, Go's own encoder would escape some.
_KEPT = frozenset(b"!$&'()*+,;=:@[]%")


def reference(text: str) -> str:
    """The reference in its normal form; UserError when it is none."""
    if _CONTROL.search(text):
        raise UserError(f"{text!r} is no URI reference: it has a control character")
    rest, has_fragment, fragment = text.partition("#")
    if rest == "*":
        return _joined("*", has_fragment, fragment)
    scheme, rest = _scheme(text, rest)
    rest, query = _query(rest)
    if not rest.startswith("/"):
        if scheme:
            return _joined(f"{scheme}:{rest}{query}", has_fragment, fragment)
        if ":" in rest.partition("/")[0]:
            raise UserError(f"{text!r} is no URI reference: its first segment has a colon")
    head = f"{scheme}:" if scheme else ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        authority = _authority(authority, text)
        head += f"//{authority}" if authority or (scheme and rest) else ""
    return _joined(f"{head}{_escaped(rest, _PATH, text)}{query}", has_fragment, fragment)


def _scheme(text: str, rest: str) -> tuple[str, str]:
    found = _SCHEME.fullmatch(rest)
    if found:
        return found[1].lower(), found[2]
    if rest.startswith(":"):
        raise UserError(f"{text!r} is no URI reference: it has no scheme before the colon")
    return "", rest


def _query(rest: str) -> tuple[str, str]:
    """What comes before the query, and the query, which stays as it is."""
    before, mark, query = rest.partition("?")
    return before, f"{mark}{query}"


def _joined(text: str, has_fragment: str, fragment: str) -> str:
    return f"{text}#{_escaped(fragment, _FRAGMENT, fragment)}" if has_fragment and fragment else text


def _authority(authority: str, text: str) -> str:
    user, at, host = authority.rpartition("@")
    if at and not _USERINFO.fullmatch(user):
        raise UserError(f"{text!r} is no URI reference: invalid user information")
    name, colon, password = user.partition(":")
    info = _again(name, _USER, text) + (f":{_again(password, _USER, text)}" if colon else "")
    return f"{info}{at}{_host(host, text)}"


def _host(host: str, text: str) -> str:
    end = host.rfind("]") if host.startswith("[") else host.rfind(":") - 1
    port = host[end + 1 :] if host.startswith("[") or ":" in host else ""
    is_address = host.startswith("[") and end > 0
    if "[" in host[is_address:] or not _PORT.fullmatch(port) or not _HOST_NAME.fullmatch(host):
        raise UserError(f"{text!r} is no URI reference: invalid port or address")
    return _again(host, _HOST, text)


def _escaped(part: str, safe: frozenset[int], text: str) -> str:
    """A part as it was written, if it may be written so; else unescaped and escaped again."""
    if _BAD_ESCAPE.search(part):
        raise UserError(f"{text!r} is no URI reference: invalid escape")
    raw = part.encode("utf-8", "surrogatepass")
    return part if all(byte in safe or byte in _KEPT for byte in raw) else _again(part, safe, text)


def _again(part: str, safe: frozenset[int], text: str) -> str:
    if _BAD_ESCAPE.search(part):
        raise UserError(f"{text!r} is no URI reference: invalid escape")
    raw = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), part.encode("utf-8", "surrogatepass"))
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in raw)
