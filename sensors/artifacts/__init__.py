"""Where the resource of a k8s or argoWorkflow trigger comes from, as JSON text of one object. Contract: sensors D.16.

    reading.py     what the kinds share
    configmap.py file.py git.py s3.py url.py    one kind each; `inline` and `resource` need nothing from outside
    git_command.py github_app.py                the `git` command; logging in as a GitHub App

A kind is a row in `READERS`. What is outside is asked at every attempt; an unchanged file or answer is not read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

import orjson

from events import yamls
from events.backoff import Backoff, retry
from events.errors import ActionError, CredentialError, KeryxError, UserError
from events.kube import objects
from events.problems import Problems
from sensors.artifacts import git, s3
from sensors.artifacts.configmap import ConfigMapReader
from sensors.artifacts.file import FileReader
from sensors.artifacts.locations import ArtifactLocation
from sensors.artifacts.reading import Reader, Refused
from sensors.artifacts.url import UrlReader
from sensors.base import TriggerContext

SECONDS = 30.0
"""How long reading may take with all its tries."""
_LARGE = 64 * 1024


class _Text:
    """A location that holds its own text."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def read(self) -> str:
        return self._text


def _configmap(location: ArtifactLocation, context: TriggerContext) -> Reader:
    assert location.configmap is not None
    return ConfigMapReader(location.configmap, context.secrets)


def _file(location: ArtifactLocation, _context: TriggerContext) -> Reader:
    assert location.file is not None
    return FileReader(location.file)


def _git(location: ArtifactLocation, context: TriggerContext) -> Reader:
    assert location.git is not None
    return git.GitReader(location.git, context)


def _inline(location: ArtifactLocation, _context: TriggerContext) -> Reader:
    return _Text(location.inline or "")


def _resource(location: ArtifactLocation, _context: TriggerContext) -> Reader:
    return _Text(objects.encoded(location.resource).decode())


def _s3(location: ArtifactLocation, context: TriggerContext) -> Reader:
    assert location.s3 is not None
    return s3.S3Reader(location.s3, context.secrets)


def _url(location: ArtifactLocation, context: TriggerContext) -> Reader:
    assert location.url is not None
    return UrlReader(location.url, context)


# Kind -> its reader. A new kind is a module beside this one and a row here.
READERS: Mapping[str, Callable[[ArtifactLocation, TriggerContext], Reader]] = MappingProxyType(
    {
        "configmap": _configmap,
        "file": _file,
        "git": _git,
        "inline": _inline,
        "resource": _resource,
        "s3": _s3,
        "url": _url,
    }
)


class Artifact:
    """A location being read: its text at every attempt, parsed only when it is another one than before.

    Contract D.16: five tries, whatever the trigger's own retryStrategy says; what cannot get better is tried once.
    """

    def __init__(
        self,
        location: ArtifactLocation,
        context: TriggerContext,
        *,
        backoff: Backoff | None = None,
        seconds: float | None = None,
    ) -> None:
        self._location, self._context = location, context
        self._kind = next(iter(location.given()), "")
        self._backoff = backoff or Backoff()
        self._seconds = seconds or (git.SECONDS if self._kind == "git" else SECONDS)
        self._reader: Reader | None = None
        self._text, self._json = "", ""

    async def load(self) -> str:
        """JSON text of the object; ActionError or CredentialError when it cannot be had."""
        text = await self._read()
        if not self._json or text != self._text:
            try:
                # A large one is parsed beside the loop: others' events go on meanwhile.
                parsed = to_json(text) if len(text) < _LARGE else await asyncio.to_thread(to_json, text)
            except UserError as error:
                raise ActionError(f"artifact {self._kind!r}: {error}") from error
            self._text, self._json = text, parsed
        return self._json

    async def _read(self) -> str:
        if self._reader is None:
            if self._kind not in READERS:
                raise ActionError("the source names no artifact")
            self._reader = READERS[self._kind](self._location, self._context)
        failures: list[KeryxError] = []
        try:
            async with asyncio.timeout(self._seconds):
                return await retry(
                    self._backoff,
                    self._reader.read,
                    on_failure=lambda error, _number: failures.append(error),
                    again=lambda error: (
                        isinstance(error, ActionError | CredentialError) and not isinstance(error, Refused)
                    ),
                )
        except TimeoutError as error:
            reason = f": {failures[-1]}" if failures else ""
            raise ActionError(f"artifact {self._kind!r}: not read within {self._seconds:g} s{reason}") from error
        except ActionError as error:
            raise ActionError(f"artifact {self._kind!r}: {error}") from error


def to_json(text: str, *, on_duplicate: Callable[[str], None] = lambda _message: None) -> str:
    """JSON text of the one object in `text`, which is YAML or JSON; UserError with line and column."""
    try:
        obj = orjson.loads(text)
    except orjson.JSONDecodeError:
        obj = yamls.load_one(text, on_duplicate=on_duplicate)
    if not isinstance(obj, dict):
        raise UserError("is not an object")
    try:
        return objects.encoded(obj).decode()
    except ActionError as error:  # too deep
        raise UserError(str(error)) from error


def validate(location: ArtifactLocation | None, problems: Problems) -> None:
    """What is wrong with a location, with paths relative to it."""
    given = location.given() if location else []
    if location is None or not given:
        problems.error("", "required", f"give one of: {', '.join(READERS)}")
        return
    kind, *others = given
    for other in others:
        problems.warn(other, f"ignored: {kind!r} is given, too, and comes first")
    if kind == "inline":
        found = problems.at("inline")
        try:
            to_json(location.inline or "", on_duplicate=lambda message: found.warn("", message))
        except UserError as error:
            found.error("", str(error))
    else:
        _validate_outside(location, problems)


def _validate_outside(location: ArtifactLocation, problems: Problems) -> None:
    """As upstream, only warned about: the trigger's parameters may put it right."""
    if location.s3 is not None:
        s3.validate(location.s3, problems.at("s3"))
    if location.git is not None:
        git.validate(location.git, problems.at("git"))
    if location.file is not None and not location.file.path:
        problems.warn("file.path", "is empty: every attempt fails")
    if location.url is not None:
        if not location.url.path.lower().startswith(("http://", "https://")):
            problems.warn("url.path", f"{location.url.path!r} is not an http or https URL", "write https://…")
        if location.url.verify_cert is False:
            problems.warn("url.verifyCert", "whoever answers is believed: the certificate is not verified")
    if location.configmap is not None:
        for field in ("name", "key"):
            if not getattr(location.configmap, field):
                problems.warn(f"configmap.{field}", "is empty: every attempt fails")
