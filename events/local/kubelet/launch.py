"""Becomes a container's process: session, namespaces, mounts, then exec. A program of its own, standard library alone.

Started by `processes` with two file descriptors: a description in JSON to read, and a pipe for what goes wrong. The
pipe closes at exec, so that an empty answer means success. Contract of the description: `processes.Launch`.

The new root is a tmpfs into which every entry of the machine's root is bound; where a mount point is missing, the
folder that lacks it becomes such a tmpfs, too. Nothing is made or changed on the machine itself.
"""

# ruff: noqa: S606  # starting what it is told to start is its purpose
from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import signal
import stat
import sys
from typing import Any, NoReturn

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_BIND, _REC, _PRIVATE, _REMOUNT, _RDONLY = 0x1000, 0x4000, 0x40000, 0x20, 0x1
_DETACH = 2
_PDEATHSIG = 1
_TIOCSCTTY = 0x540E
_KEPT_FLAGS = os.ST_NOSUID | getattr(os, "ST_NODEV", 4) | getattr(os, "ST_NOEXEC", 8) | getattr(os, "ST_NOATIME", 1024)
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "arm64": 41}
_NOT_FOUND, _NOT_STARTED = 127, 126


class Failed(Exception):
    """What went wrong, in words for the container's status."""


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (source, target, kind)]
    _check(_libc().mount(*texts, ctypes.c_ulong(flags), data.encode() if data else None), f"mount {target}")


def _enter_new(*, needs_user: bool) -> None:
    """A mount namespace of our own; without root, within a user namespace in which we stay who we are."""
    user, group = os.geteuid(), os.getegid()
    _check(_libc().unshare(_NEWNS | (_NEWUSER if needs_user else 0)), "unshare")
    if needs_user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _mount("none", "/", None, _REC | _PRIVATE)


def _synthesize(new: str, folder: str) -> None:
    """`new + folder` becomes a tmpfs with the machine's entries of that folder bound into it."""
    place = new + folder.rstrip("/")
    entries = sorted(os.listdir(folder))
    _mount("tmpfs", place, "tmpfs", 0, "mode=755")
    for entry in entries:
        source, target = os.path.join(folder, entry), os.path.join(place, entry)
        try:
            mode = os.lstat(source).st_mode
            if stat.S_ISLNK(mode):
                os.symlink(os.readlink(source), target)
                continue
            _make(target, is_folder=stat.S_ISDIR(mode))
            _mount(source, target, None, _BIND | _REC)
        except OSError:
            continue  # vanished meanwhile, or not ours to show


def _make(path: str, *, is_folder: bool) -> None:
    if is_folder:
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


class _Root:
    """The root that is put together under `new`."""

    def __init__(self, new: str) -> None:
        self._new = new
        self._ours: list[str] = ["/"]
        """Folders in which entries can be made without touching the machine."""
        _synthesize(new, "/")

    def prepare(self, source: str, target: str) -> None:
        """Have something to mount on."""
        self._prepare(self._resolved(target), is_folder=os.path.isdir(source))

    def mount(self, source: str, target: str, *, read_only: bool) -> None:
        """Show `source` at `target`."""
        real = self._resolved(target)
        is_folder = os.path.isdir(source)
        self._prepare(real, is_folder=is_folder)
        place = self._new + real
        if os.path.isdir(place) is not is_folder:
            kinds = ("a file", "a folder")
            raise Failed(f"{target} is {kinds[not is_folder]}, and {kinds[is_folder]} is to be mounted there")
        _mount(source, place, None, _BIND | _REC)
        if read_only:
            kept = os.statvfs(place).f_flag & _KEPT_FLAGS
            _mount("none", place, None, _BIND | _REMOUNT | _RDONLY | kept)
        if is_folder:
            self._ours.append(real)

    def _resolved(self, target: str) -> str:
        """Without the machine's symbolic links; below a volume there are none to follow."""
        path = os.path.normpath(target)
        if any(path.startswith(f"{folder}/") for folder in self._ours[1:]):
            return path
        return os.path.realpath(path)

    def _prepare(self, path: str, *, is_folder: bool) -> None:
        """Have something to mount on at `path`."""
        if os.path.lexists(self._new + path):
            return
        at, steps = "", [step for step in path.split("/") if step]
        for index, step in enumerate(steps):
            parent, at = at or "/", f"{at}/{step}"
            if os.path.lexists(self._new + at):
                continue
            if not any(parent == one or (one != "/" and parent.startswith(f"{one}/")) for one in self._ours):
                _synthesize(self._new, parent)
                self._ours.append(parent)
            _make(self._new + at, is_folder=is_folder or index < len(steps) - 1)
            self._ours.append(at)

    def enter(self) -> None:
        """From now on it is the root."""
        os.chdir(self._new)
        number = _PIVOT_ROOT.get(platform.machine())
        if number is None:
            os.chroot(".")
        else:
            _check(_libc().syscall(number, b".", b"."), "pivot_root")
            _check(_libc().umount2(b".", _DETACH), "umount")
        os.chdir("/")


def _join(pid: int) -> None:
    """The namespaces of a process that runs."""
    for name in ("user", "mnt"):
        theirs, ours = f"/proc/{pid}/ns/{name}", f"/proc/self/ns/{name}"
        if os.readlink(theirs) == os.readlink(ours):
            continue
        handle = os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)
        _check(_libc().setns(handle, 0), f"setns {name}")
        os.close(handle)


def die_with(parent: int) -> None:
    """Be killed when the node dies, whose pid was handed in: it may have died before this was asked for."""
    if sys.platform == "linux":
        _check(_libc().prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        if os.getppid() != parent:
            os._exit(1)


def _find(program: str, path: str) -> str:
    if "/" in program:
        if not os.path.exists(program):
            raise Failed(f'exec: "{program}": stat {program}: no such file or directory')
        return program
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder, program)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Failed(f'exec: "{program}": executable file not found in $PATH')


def prepared(told: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Everything up to exec: the program that was found, and its environment. Raises OSError or Failed."""
    if told["tty"]:
        import fcntl

        fcntl.ioctl(0, _TIOCSCTTY, 0)
    if told["join"]:
        _join(told["join"])
    elif told["namespace"]:
        _enter_new(needs_user=told["namespace"] == "user")
        root = _Root(told["root"])
        # All mount points first: a folder that is put together anew would hide what was mounted in it before.
        targets = [os.path.normpath(one["target"]) for one in told["mounts"]]
        for one, target in zip(told["mounts"], targets, strict=True):
            if not any(target.startswith(f"{other}/") for other in targets):
                root.prepare(one["source"], target)
        for one in told["mounts"]:
            root.mount(one["source"], one["target"], read_only=one["read_only"])
        for path in told["keep"]:  # what a mount has hidden, and the process cannot do without
            if any(path == target or path.startswith(f"{target}/") for target in targets):
                with contextlib.suppress(OSError, Failed):
                    root.mount(path, path, read_only=False)
        root.enter()
    die_with(told["parent"])
    try:
        os.chdir(told["cwd"])
    except OSError as error:
        raise Failed(f"chdir to cwd ({told['cwd']!r}) set in config.json failed: {error.strerror}") from error
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    environment = {str(key): str(value) for key, value in told["env"].items()}
    return _find(told["argv"][0], environment.get("PATH", os.defpath)), environment


def become(program: str, argv: list[str], environment: dict[str, str]) -> NoReturn:
    """Exec. Raises OSError or Failed."""
    try:
        os.execve(program, argv, environment)
    except OSError as error:
        if error.errno == 8:  # ENOEXEC: a script without a first line, which a shell would run
            os.execve("/bin/sh", ["/bin/sh", program, *argv[1:]], environment)
        raise Failed(f'exec: "{program}": {error.strerror}') from error


def main() -> None:
    """`launch.py DESCRIPTION_FD REPORT_FD`."""
    description, report = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(report, False)  # noqa: FBT003  # has no names
    with contextlib.suppress(PermissionError):  # the leader of one already
        os.setsid()
    with os.fdopen(description, "rb") as file:
        file.seek(0)
        told = json.load(file)
    try:
        program, environment = prepared(told)
        become(program, told["argv"], environment)
    except (OSError, Failed, ValueError) as error:
        os.write(report, str(error).encode()[:4000])
        os._exit(_NOT_STARTED)


if __name__ == "__main__":
    main()
