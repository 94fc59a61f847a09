"""Recorded answers with placeholders against ours, by the rules of the corpus.

Orders that mean nothing (causes, conditions, owners of equal time) are not compared, nor is what the API itself calls
opaque (storage hashes, hashes of documents), nor the dump of an object that a patch has made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.core import Outcome, Verdict, same

_PLACEHOLDER = re.compile(
    r"<(uid-\d+|uid|rv-\d+|list-rv|rv|time|age|old|suffix|token|cert|ca|continue|server|audience|admin|scheme"
    r"|webhook-url)>"
)
_FORMS: Mapping[str, str] = {
    "age": r"\S*?",
    "list-rv": r"\d+",
    "old": r"\S*?",
    "rv": r"\d+",
    "scheme": r"\S*?",
    "suffix": r"[a-z0-9]{5}",
    "time": r"[^\"]*?",
}
_UID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_DUMP = ('"" is invalid: patch: Invalid value: "{', 'Invalid value: "{\\"apiVersion')
_OPAQUE_HASH = re.compile(r"\?hash=[0-9A-F]+")
_SHOWN = 300
_SERVER = ("<server>", "kube-apiserver", "kube-controller-manager")


Difference = tuple[int | None, str]
"""The step of a case (None: the case as a whole), and what differs."""


def judged(differences: Sequence[Difference], departures: Collection[int] | None = None) -> Outcome:
    """The outcome of a case; only differences in the steps that a documented departure names are excusable."""
    if not differences:
        return Outcome(Verdict.SAME)
    unexplained = [one for one in differences if departures is None or one[0] not in departures]
    said = "; ".join(text if step is None else f"{step}{text}" for step, text in unexplained or differences)
    return Outcome(Verdict.FAILED, "as recorded", said, is_excusable=departures is not None and not unexplained)


@dataclass
class Comparison:
    """One case: uids are numbered by first appearance, versions by rank."""

    uids: dict[str, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    step: int | None = None

    def compare(self, wanted: Any, got: Any, where: str = "") -> None:
        """Note each difference."""
        if isinstance(wanted, dict) and isinstance(got, dict):
            self._objects(wanted, got, where)
        elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
            for index, (one, other) in enumerate(zip(wanted, got, strict=True)):
                self.compare(one, other, f"{where}/{index}")
        elif isinstance(wanted, str) and isinstance(got, str):
            self._texts(wanted, got, where)
        elif not same(wanted, got):
            self._note(where, wanted, got)

    def end(self) -> list[Difference]:
        """All differences; versions must rank as recorded, and what had two uids must have two."""
        self.step = None
        ranked = [self.versions[name] for name in sorted(self.versions, key=lambda name: int(name[3:]))]
        if ranked != sorted(set(ranked)):
            self._note("versions", "in order", ranked)
        if len(set(self.uids.values())) < len(self.uids):
            self._note("uids", "each another", self.uids)
        return self.differences

    def _note(self, where: str, wanted: Any, got: Any) -> None:
        said = f"{where}: {json.dumps(wanted)[:_SHOWN]} != {json.dumps(got, default=str)[:_SHOWN]}"
        self.differences.append((self.step, said))

    def _objects(self, wanted: dict[str, Any], got: dict[str, Any], where: str) -> None:
        wanted = {self._key(key): value for key, value in wanted.items()}
        for key in wanted.keys() | got.keys():
            place = f"{where}/{key}"
            if key not in wanted or key not in got:
                self._note(place, wanted.get(key, "nothing"), got.get(key, "nothing"))
            elif not _is_free(key, wanted[key], got[key]):
                one, other = _ordered(key, wanted[key]), _ordered(key, got[key])
                if key == "status" and isinstance(one, dict) and "allowed" in one and isinstance(other, dict):
                    other = {name: value for name, value in other.items() if name != "reason"}
                self.compare(one, other, place)

    def _key(self, key: str) -> str:
        return re.sub(r"<(uid-\d+)>", lambda found: self.uids.get(found[1], found[0]), key)

    def _texts(self, wanted: str, got: str, where: str) -> None:
        if any(dump in wanted for dump in _DUMP):
            if wanted.rpartition('": ')[2] != got.rpartition('": ')[2]:
                self._note(where, wanted, got)
            return
        wanted, got = _OPAQUE_HASH.sub("?hash=", wanted), _OPAQUE_HASH.sub("?hash=", got)
        names: list[str] = []
        found = re.fullmatch(_pattern(wanted, names), got, re.DOTALL)
        if found is None:
            self._note(where, wanted, got)
            return
        for name, value in zip(names, found.groups(), strict=True):
            known: Any = self.uids if name.startswith("uid") else self.versions
            number: Any = value if name.startswith("uid") else int(value)
            if known.setdefault(name, number) != number:
                self._note(where, f"{name} = {known[name]}", value)


def matches(wanted: str, got: str) -> bool:
    """Whether a text of a terminal is as recorded; runs of blanks count as one."""
    one, other = (re.sub(r"[ \t]+", " ", text).strip() for text in (wanted, got))
    return re.fullmatch(_pattern(one, []), other, re.DOTALL) is not None


def _pattern(wanted: str, names: list[str]) -> str:
    """The regular expression of a text; named placeholders are groups."""
    parts, last = [], 0
    for found in _PLACEHOLDER.finditer(wanted):
        parts.append(re.escape(wanted[last : found.start()]))
        name, last = found[1], found.end()
        if name.startswith("uid-"):
            names.append(name)
            parts.append(f"({_UID})")
        elif name.startswith("rv-"):
            names.append(name)
            parts.append(r"(\d+)")
        else:
            parts.append(_UID if name == "uid" else _FORMS.get(name, r"\S+?"))
    return "".join([*parts, re.escape(wanted[last:])])


def _is_free(key: str, wanted: Any, got: Any) -> bool:
    """Whether a value need not be compared: opaque, the recorder's own, or the same in another order."""
    is_opaque = key == "storageVersionHash" or (key == "userInfo" and wanted == {"username": "<admin>"})
    return is_opaque or (key == "message" and _same_signs(wanted, got))


def _same_signs(wanted: Any, got: Any) -> bool:
    """A list of causes in another order."""
    both = isinstance(wanted, str) and isinstance(got, str)
    return both and "is invalid: [" in wanted and sorted(wanted) == sorted(got)


def _ordered(key: str, value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return value
    if key == "managedFields":
        return sorted(value, key=_owner)
    if key in ("causes", "conditions"):
        return sorted(
            value, key=lambda one: [str(one.get(name, ""))[:12] for name in ("type", "field", "reason", "message")]
        )
    return value


def _owner(entry: Mapping[str, Any]) -> tuple[str, ...]:
    fields = json.dumps(sorted(entry.get("fieldsV1") or {}))
    manager = str(entry.get("manager", ""))
    return entry.get("operation", ""), entry.get("subresource", ""), fields, "" if manager in _SERVER else manager
