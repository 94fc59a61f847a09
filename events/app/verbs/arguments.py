"""What was typed after a verb: `pods`, `pods a b`, `pods,svc`, `pod/a svc/b`, `all`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from events.errors import UserError
from events.kube.discovery import Catalogue, Kind


@dataclass(frozen=True, slots=True)
class Target:
    """A kind, and one object of it unless all are meant."""

    kind: Kind
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind.word}/{self.name}" if self.name else self.kind.words


def targets(catalogue: Catalogue, words: Sequence[str]) -> list[Target]:
    """What words mean; UserError when nothing can be made of them."""
    if not words:
        raise UserError("say which kind", cure="such as `pods`, `sensors my-sensor`, `pod/my-pod`, `all`")
    if any("/" in word for word in words):
        return [_pair(catalogue, word) for word in words]
    kinds = catalogue.several(words[0])
    if not words[1:]:
        return [Target(kind) for kind in kinds]
    return [Target(kind, name) for kind in kinds for name in words[1:]]


def one(catalogue: Catalogue, word: str, kind: str) -> Target:
    """`NAME` of a kind, or `KIND/NAME`."""
    return _pair(catalogue, word) if "/" in word else Target(catalogue.find(kind), word)


def _pair(catalogue: Catalogue, word: str) -> Target:
    kind, slash, name = word.partition("/")
    if not (kind and slash and name) or "/" in name:
        raise UserError(f"{word!r} is not KIND/NAME", cure="with one KIND/NAME, all must be KIND/NAME")
    return Target(catalogue.find(kind), name)
