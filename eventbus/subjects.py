"""(event source, event name) <-> subject, and names that are safe as bucket keys. Contract: sensors E.3.

The only place that knows these formats.
"""

from __future__ import annotations

import re

from events.errors import UserError

STREAM = "default"
SUBJECTS = "default.*.*"
_TOKEN_UNSAFE = re.compile(r"[.\s*>\x00-\x20\x7f]")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")
_KEY_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")


def subject(source: str, name: str) -> str:
    """The subject of an event; UserError when a part cannot be one token of a subject."""
    return f"{STREAM}.{token(source, 'event source name')}.{token(name, 'event name')}"


def token(text: str, what: str) -> str:
    """`text`, when it can stand between two dots of a subject."""
    if not text or _TOKEN_UNSAFE.search(text):
        raise UserError(f"{what} {text!r} cannot be published", cure="use no dot, space, '*' or '>'; hyphens are fine")
    return text


def key_part(text: str) -> str:
    """`text` as one part of a key: other characters become `=XX` (a state key may hold no dot or space)."""
    return _KEY_UNSAFE.sub(lambda found: b"=%02X" % found[0][0], text.encode()).decode("ascii")


def unescape(part: str) -> str:
    """What `key_part` was given."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), part.encode()).decode()


def key(*parts: str) -> str:
    """A key of the state: parts escaped and joined by dots, so that one is a prefix of what belongs to it."""
    return ".".join(key_part(part) for part in parts)


def fnv32a(text: str) -> int:
    """32-bit FNV-1a, the hash in the names of upstream's consumers."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def upstream_consumer(sensor: str, trigger: str, dependency: str) -> str:
    """The durable consumer that Argo Events keeps for a dependency of a trigger."""
    return f"group-{fnv32a(f'{sensor}-{trigger}-{dependency}')}"


def bucket(namespace: str, name: str) -> str:
    """The name of a bucket, or stream, that we keep for a namespace: several may share a server."""
    return f"keryx-{key_part(namespace)}-{name}".replace("=", "_")
