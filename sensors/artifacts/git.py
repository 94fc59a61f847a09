"""A file of a git repository as an artifact. Contract: sensors D.16.

Upstream keeps a clone with a work tree in `cloneDirectory`, which overlapping runs share, and reads the file there.
Here nothing is checked out: one commit is fetched into a folder of its own, the file is read from git's own store, and
the folder is removed. So no link, hook, filter or submodule of a repository can do anything (flaws Z5, R26). Every
attempt asks which commit it is; a commit that was read is not fetched again (P5).

Template parameters can make event data of any field, so all are taken for hostile: nothing of them is an option, a path
of this machine or a transport that runs commands.
"""

from __future__ import annotations

import asyncio
import base64
import os
import posixpath
import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from events.errors import ActionError
from events.problems import Problems
from sensors.artifacts import github_app
from sensors.artifacts.file import LIMIT
from sensors.artifacts.git_command import Failed, Git
from sensors.artifacts.github_app import AppLogin
from sensors.artifacts.locations import GitArtifact
from sensors.artifacts.reading import Refused, decoded, too_large
from sensors.base import TriggerContext

SECONDS = 120.0
"""How long reading may take with all its tries: a large repository takes longer than a page."""
_TREE = "refs/keryx/artifact"
_LINK = "120000"
_NOT_THERE = 2
_LINES = 1024 * 1024

_SCHEMES = ("https", "http", "ssh", "git")
_SCP = re.compile(r"(?:([A-Za-z0-9._][\w.-]*)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)([^\s-][^\s]*)")
_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^-|^/|[./]$")
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_BAD_PATH = ("..", "~", "\\")


@dataclass(frozen=True, slots=True)
class _Place:
    """A URL without its user, and that."""

    url: str
    scheme: str
    host: str
    user: str = ""
    password: str = ""

    @property
    def site(self) -> str:
        """Scheme and host, as git's settings for one site name them."""
        return f"{self.scheme}://{self.host}/"


class GitReader:
    """One file; keeps the text of the last commit."""

    def __init__(self, location: GitArtifact, context: TriggerContext, api: str = github_app.API) -> None:
        """`api` is GitHub's, for apps."""
        self._location, self._context = location, context
        app = location.github_app if location.creds is None else None
        self._app = AppLogin(app, context, api) if app is not None else None
        self._seen: tuple[str, str] | None = None
        self._text = ""

    async def read(self) -> str:
        """The text of the file in the commit that the ref names now."""
        path, ref = _path(self._location.file_path), _ref(self._location)
        places = [_place(url) for url in self._urls()]
        with tempfile.TemporaryDirectory(prefix="keryx-git-", ignore_cleanup_errors=True) as folder:
            for place in places:
                git = await asyncio.to_thread(self._git, Path(folder), place, *await self._login(place))
                commit = await _commit(git, place, ref)
                if not commit:
                    continue
                if self._seen != (place.url, commit):
                    self._text = await self._fetched(git, place, ref, path)
                    self._seen = place.url, commit
                return self._text
        raise Refused(f"{places[-1].url} has no {ref}")

    def _urls(self) -> list[str]:
        """Where the ref is looked for, in this order: what a further remote has takes the place of the first one's."""
        remote = self._location.remote
        return [*(remote.urls[:1] if remote else []), self._location.url]

    async def _login(self, place: _Place) -> tuple[str, str]:
        """User name and password as they are now: those of creds, else of githubApp, else of the URL."""
        creds, secrets = self._location.creds, self._context.secrets
        if creds is not None:
            user = secrets.value(creds.username) if creds.username else ""
            return user, secrets.value(creds.password) if creds.password else ""
        if self._app is not None:
            return github_app.USER, await self._app.token()
        return place.user, place.password

    def _git(self, folder: Path, place: _Place, user: str, password: str) -> Git:
        """git that logs in so, or with the key."""
        location, secrets = self._location, self._context.secrets
        config: dict[str, str] = {}
        if place.scheme in ("https", "http"):
            if user or password:
                token = base64.b64encode(f"{user}:{password}".encode()).decode()
                # For this site alone: a redirect to another one does not get it.
                config[f"http.{place.site}.extraHeader"] = f"Authorization: Basic {token}"
            return Git(folder, config=config)
        key = secrets.value(location.ssh_key_secret) if location.ssh_key_secret and location.creds is None else ""
        is_trusting = bool(location.insecure_ignore_host_key)
        return Git(folder, _ssh(folder, key, is_trusting, "" if place.user else "git"))

    async def _fetched(self, git: Git, place: _Place, ref: str, path: str) -> str:
        name = f"{path!r} at {ref} of {place.url}"
        await git.run("init", "--bare", "--quiet", "--template=", ".", limit=_LINES)
        await git.run(
            "fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", place.url, f"+{ref}:{_TREE}", limit=_LINES
        )
        listed = await git.run("ls-tree", "-z", "--long", "--full-tree", _TREE, "--", path, limit=_LINES)
        found = [entry.split(None, 4) for entry in listed.decode("utf-8", "replace").split("\0") if entry]
        if len(found) != 1 or found[0][1] != "blob":
            raise Refused(f"{name} is not a file" if found else f"there is no {name}")
        mode, _, blob, size, _ = found[0]
        if mode == _LINK:
            raise Refused(f"{name} is a symbolic link")
        if int(size) > LIMIT:
            raise too_large(name, LIMIT)
        return decoded(await git.run("cat-file", "blob", blob, limit=LIMIT), name)


async def _commit(git: Git, place: _Place, ref: str) -> str:
    """What the ref names there now; empty when there is no such ref."""
    if _COMMIT.fullmatch(ref):
        return ref
    try:
        listed = await git.run("ls-remote", "--exit-code", "--quiet", "--end-of-options", place.url, ref, limit=_LINES)
    except Failed as error:
        if error.code == _NOT_THERE:
            return ""
        raise
    for line in listed.decode("utf-8", "replace").splitlines():
        commit, _, name = line.partition("\t")
        if name == ref:
            return commit
    return ""


def validate(location: GitArtifact, problems: Problems) -> None:
    """As upstream, only warned about: the trigger's parameters may put it right."""
    for field, check in (
        ("url", lambda: _place(location.url)),
        ("filePath", lambda: _path(location.file_path)),
        ("ref" if location.ref else "tag" if location.tag else "branch", lambda: _ref(location)),
    ):
        try:
            check()
        except ActionError as error:
            problems.warn(field, f"{error}: every attempt fails")
    if location.insecure_ignore_host_key:
        problems.warn("insecureIgnoreHostKey", "whoever answers is believed: the host's key is not verified")
    for field, other in (("githubApp", location.github_app), ("sshKeySecret", location.ssh_key_secret)):
        if location.creds is not None and other is not None:
            problems.warn(field, "has no effect: creds is given, too, and comes first")
    if location.remote is not None and not location.remote.urls:
        problems.warn("remote.urls", "is empty: the remote has no effect")


def _path(text: str) -> str:
    """The path of a file inside a repository; Refused when it is none (contract D.16)."""
    for part in _BAD_PATH:
        if part in text:
            raise Refused(f"filePath {text!r} has {part!r} in it")
    path = posixpath.normpath(text.lstrip("/")) if text.strip("/") else ""
    if path in ("", ".") or "\0" in path:
        raise Refused(f"filePath {text!r} is not the path of a file")
    return path


def _ref(location: GitArtifact) -> str:
    """The ref to read: `ref`, else the tag, else the branch; Refused when it cannot be one."""
    if location.ref:
        name = location.ref
    elif location.tag:
        name = f"refs/tags/{location.tag}"
    else:
        name = f"refs/heads/{location.branch or 'master'}"
    if _BAD_NAME.search(name):
        raise Refused(f"{name!r} is not the name of a ref")
    return name


def _place(text: str) -> _Place:
    """A URL, taken apart; Refused when it is no address of a repository on a network."""
    if (found := _SCP.fullmatch(text)) is not None and "://" not in text:
        user, host, _ = found.groups()
        return _Place(text, "ssh", host, user or "")
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError as error:
        raise Refused("url is not a URL") from error
    is_option = host.startswith("-") or (url.username or "").startswith("-")
    if url.scheme not in _SCHEMES or not host or is_option or min(text) <= " ":
        raise Refused(f"url is not one of {', '.join(f'{scheme}://…' for scheme in _SCHEMES)} or user@host:path")
    site = f"[{host}]" if ":" in host else host
    site = f"{site}:{port}" if port else site
    user, password = unquote(url.username or ""), unquote(url.password or "")
    address = f"{url.username}@{site}" if url.scheme == "ssh" and user else site
    query = f"?{url.query}" if url.query else ""
    return _Place(f"{url.scheme}://{address}{url.path}{query}", url.scheme, site, user, password)


def _ssh(folder: Path, key: str, is_trusting: bool, user: str) -> str:  # noqa: FBT001 - one caller
    """The command that connects by SSH. The host must be known, unless the object says otherwise."""
    options = {"BatchMode": "yes", "StrictHostKeyChecking": "yes"}
    if is_trusting:
        options |= {"StrictHostKeyChecking": "no", "UserKnownHostsFile": os.devnull, "LogLevel": "ERROR"}
    elif known := os.environ.get("SSH_KNOWN_HOSTS"):
        options["UserKnownHostsFile"] = known.replace(":", " ")
    if user:
        options["User"] = user
    if key:
        path = folder / "key"
        # A mounted secret may be readable for others, and ssh refuses such keys.
        path.touch(mode=0o600)
        path.write_text(f"{key}\n", encoding="utf-8")
        options |= {"IdentitiesOnly": "yes", "IdentityFile": str(path)}
    return shlex.join(["ssh", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))])
