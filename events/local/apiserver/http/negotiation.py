"""Which form of an answer a client wants: JSON or YAML; the object, its metadata alone, or a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from events.local.apiserver.status import StatusError

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
TABLE, PARTIAL, PARTIAL_LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"
_MEDIA = (JSON, YAML, PROTOBUF)
_STREAMS = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
_GROUP, _VERSIONS = "meta.k8s.io", ("v1", "v1beta1")


@dataclass(frozen=True)
class Form:
    """`shape` is empty for the object itself; `version` is that of a table or of metadata alone."""

    media: str = JSON
    shape: str = ""
    version: str = "v1"

    @property
    def api_version(self) -> str:
        return f"{_GROUP}/{self.version}"


@lru_cache(maxsize=256)
def negotiated(accept: str, *, is_watch: bool = False, is_custom: bool = False) -> Form:
    """Raises StatusError 406; it says less about custom kinds."""
    is_known = False
    for media, parameters in _clauses(accept):
        if media == "*/*":
            return Form()
        if media not in _MEDIA and not (media == "application/*" and is_watch):
            continue
        is_known = True
        if form := _form(media, parameters, is_watch=is_watch):
            return form
    raise _unacceptable(is_known=is_known or is_custom, is_watch=is_watch)


def _form(media: str, parameters: dict[str, str], *, is_watch: bool) -> Form | None:
    stream = parameters.pop("stream", "")
    if (stream and not (is_watch and stream == "watch")) or media == PROTOBUF or (is_watch and media == YAML):
        return None
    if not parameters:
        return Form(media)
    shape, version, group = (parameters.get(key, "") for key in ("as", "v", "g"))
    if shape in (TABLE, PARTIAL, PARTIAL_LIST) and version in _VERSIONS and group == _GROUP:
        return Form(media, shape, version)
    return None


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, the most wanted first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        parameters.pop("charset", None)
        if media and quality > 0:
            found.append((quality, media.lower(), parameters))
    if not found and not accept.strip():
        return [("*/*", {})]
    return [(media, parameters) for _, media, parameters in sorted(found, key=lambda one: -one[0])]


def _unacceptable(*, is_known: bool, is_watch: bool) -> StatusError:
    if is_known:
        accepted = ", ".join(_STREAMS if is_watch else _MEDIA)
        return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {accepted}")
    available = ", ".join((*_MEDIA, *_STREAMS) if is_watch else _MEDIA)
    return StatusError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {available}", {})


def error_form(accept: str) -> Form:
    """The form of a refusal: that of the answer as far as there is one."""
    for media, _ in _clauses(accept):
        if media == YAML:
            return Form(YAML)
        if media in (JSON, "*/*"):
            return Form()
    return Form()
