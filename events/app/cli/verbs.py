"""The verbs of every day, with their options: one row each. The work is in `events.app.verbs`, one module per verb.

They are parsed without the library of the other commands, which takes longer to start than a small request takes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from events.errors import UserError

if TYPE_CHECKING:
    from events.app.verbs.applying import Wanted as Writing
    from events.app.verbs.session import Common

USAGE = 2
Options = argparse.Namespace


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"keryx: {message} (keryx {self.prog.rpartition(' ')[2]} --help shows the options)\n")


@dataclass(frozen=True)
class Verb:
    """One command: a line of help, its options, and what it does with them."""

    help: str
    declare: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Options], int]


def main(arguments: Sequence[str]) -> int:
    """Run the verb that `arguments` begin with; its exit code."""
    name, *rest = arguments
    verb = VERBS[name]
    parser = _Parser(prog=f"keryx {name}", description=verb.help, allow_abbrev=False)
    verb.declare(parser)
    given = parser.parse_intermixed_args(rest)
    try:
        return verb.run(given)
    except UserError as error:
        print(f"keryx: {error}", file=sys.stderr)  # noqa: T201
        return USAGE


# ---- options that several have


def _flag(parser: argparse.ArgumentParser, *names: str, help: str = "") -> None:
    parser.add_argument(*names, action="store_true", help=help)


def _server(parser: argparse.ArgumentParser) -> None:
    text = "the API server's; else KUBECONFIG, else .keryx/up/kubeconfig, else ~/.kube/config"
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help=text)
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig; else its current one")
    parser.add_argument("-n", "--namespace", default="", metavar="NAME", help="else the context's, else default")
    parser.add_argument(
        "--request-timeout", type=_seconds, default=30.0, metavar="TIME", help="what one request may take (30s)"
    )


def _files(parser: argparse.ArgumentParser) -> None:
    text = "with objects; may be repeated"
    parser.add_argument("-f", "--filename", action="append", default=[], metavar="FILE|DIR|-", help=text)
    _flag(parser, "-R", "--recursive", help="subfolders, too")


def _selectors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-l", "--selector", default="", metavar="a=b,c!=d", help="of labels")
    parser.add_argument("--field-selector", default="", metavar="a.b=c", help="such as status.phase=Running")
    _flag(parser, "-A", "--all-namespaces")


def _writing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", choices=("none", "server"), default="none", help="server: ask it, store nothing")
    parser.add_argument("-o", "--output", choices=("name", "yaml", "json"), default="", help="the objects themselves")


def _words(parser: argparse.ArgumentParser, metavar: str) -> None:
    parser.add_argument("words", nargs="*", metavar=metavar)


def _seconds(text: str) -> float:
    """`30`, `30s`, `2m`."""
    from events import durations

    try:
        found = float(text) if text.replace(".", "", 1).isdecimal() else durations.delta(text).total_seconds()
    except UserError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 30s or 2m") from error
    return found


def common(given: Options) -> Common:
    """Which server, which namespace."""
    from events.app.verbs.session import Common

    return Common(given.kubeconfig, given.context, given.namespace, given.request_timeout)


def writing(given: Options) -> Writing:
    """How objects are written."""
    from events.app.verbs.applying import Wanted

    return Wanted(given.dry_run == "server", given.output)


# ---- the verbs


def _declare_apply(parser: argparse.ArgumentParser) -> None:
    _files(parser)
    _writing(parser)
    _server(parser)


def _apply(given: Options) -> int:
    from events.app.verbs import applying, inputs, session

    if not given.filename:
        raise UserError("say which files", cure="keryx apply -f FILE, a folder, or - for stdin")
    found = inputs.read(given.filename, is_deep=given.recursive)
    return session.run(common(given), lambda one: applying.apply(one, found, writing(given)))


def _declare_create(parser: argparse.ArgumentParser) -> None:
    _words(parser, "namespace NAME")
    _files(parser)
    _writing(parser)
    _server(parser)


def _create(given: Options) -> int:
    from events.app.verbs import creating, inputs, session

    if bool(given.words) == bool(given.filename):
        raise UserError("say what to create", cure="keryx create -f FILE, or keryx create namespace NAME")
    found = creating.named(given.words) if given.words else inputs.read(given.filename, is_deep=given.recursive)
    return session.run(common(given), lambda one: creating.create(one, found, writing(given)))


def _declare_get(parser: argparse.ArgumentParser) -> None:
    _words(parser, "KIND [NAME…] | KIND/NAME…")
    _selectors(parser)
    parser.add_argument("-o", "--output", choices=("wide", "name", "yaml", "json"), default="")
    _flag(parser, "-w", "--watch", help="and go on with every change")
    _flag(parser, "--watch-only", help="changes alone")
    _flag(parser, "--ignore-not-found")
    _flag(parser, "--show-labels")
    _flag(parser, "--no-headers")
    _flag(parser, "--show-managed-fields")
    _server(parser)


def _get(given: Options) -> int:
    from events.app.verbs import getting, session

    wanted = getting.Wanted(
        given.words,
        everywhere=given.all_namespaces,
        selector=given.selector,
        field_selector=given.field_selector,
        output=given.output,
        watches=given.watch,
        watches_only=given.watch_only,
        ignores_missing=given.ignore_not_found,
        has_labels=given.show_labels,
        has_headers=not given.no_headers,
        has_managed_fields=given.show_managed_fields,
    )
    return session.run(common(given), lambda one: getting.get(one, wanted))


def _declare_delete(parser: argparse.ArgumentParser) -> None:
    _words(parser, "KIND NAME… | KIND/NAME…")
    _files(parser)
    _selectors(parser)
    _flag(parser, "--all", help="all of the kind in the namespace")
    _flag(parser, "--ignore-not-found")
    _flag(parser, "--now", help="as --grace-period=1")
    parser.add_argument("--grace-period", type=int, metavar="SECONDS", help="that pods get to end; else their own")
    parser.add_argument("--cascade", choices=("background", "foreground", "orphan"), default="background")
    parser.add_argument("--wait", type=_truth, nargs="?", const=True, default=True, metavar="true|false")
    parser.add_argument("--timeout", type=_seconds, default=120.0, metavar="TIME", help="of the wait (2m)")
    parser.add_argument("--dry-run", choices=("none", "server"), default="none")
    parser.add_argument("-o", "--output", choices=("name",), default="")
    _server(parser)


def _delete(given: Options) -> int:
    from events.app.verbs import deleting, inputs, session

    if bool(given.words) == bool(given.filename):
        raise UserError("say what to delete", cure="keryx delete KIND NAME, KIND/NAME, or -f FILE")
    wanted = deleting.Wanted(
        given.words,
        inputs.read(given.filename, is_deep=given.recursive) if given.filename else None,
        is_all=given.all,
        everywhere=given.all_namespaces,
        selector=given.selector,
        field_selector=given.field_selector,
        grace=1 if given.now else given.grace_period,
        cascade=given.cascade,
        is_dry=given.dry_run == "server",
        waits=given.wait,
        seconds=given.timeout,
        ignores_missing=given.ignore_not_found or given.all,
        output=given.output,
    )
    return session.run(common(given), lambda one: deleting.delete(one, wanted))


def _declare_describe(parser: argparse.ArgumentParser) -> None:
    _words(parser, "KIND [NAME…] | KIND/NAME…")
    parser.add_argument("-l", "--selector", default="", metavar="a=b,c!=d", help="of labels")
    _flag(parser, "-A", "--all-namespaces")
    _server(parser)


def _describe(given: Options) -> int:
    from events.app.verbs import describing, session

    wanted = describing.Wanted(given.words, given.all_namespaces, given.selector)
    return session.run(common(given), lambda one: describing.describe(one, wanted))


def _declare_logs(parser: argparse.ArgumentParser) -> None:
    _words(parser, "POD | KIND/NAME")
    parser.add_argument("--data", type=Path, metavar="DIR", help="of `keryx up`, whose log it is without a pod")
    parser.add_argument("-l", "--selector", default="", metavar="a=b,c!=d", help="of the labels of pods")
    parser.add_argument("-c", "--container", default="", metavar="NAME")
    _flag(parser, "--all-containers")
    _flag(parser, "-f", "--follow", help="go on")
    _flag(parser, "-p", "--previous", help="of the container before the last restart")
    parser.add_argument("--tail", type=int, default=-1, metavar="LINES", help="from the end; with -l 10, else all")
    parser.add_argument("--since", type=_seconds, default=0.0, metavar="TIME", help="not older: 30s, 2h")
    parser.add_argument("--since-time", default="", metavar="RFC3339")
    _flag(parser, "--timestamps")
    _flag(parser, "--prefix", help="the name of the container before each line")
    parser.add_argument("--pod-running-timeout", type=_seconds, default=20.0, metavar="TIME", help="of -f (20s)")
    _server(parser)


def _logs(given: Options) -> int:
    if not given.words and not given.selector:
        if given.namespace or given.container or given.previous or given.all_containers:
            raise UserError("which pod?", cure="keryx logs POD, KIND/NAME or -l SELECTOR")
        from events.app.cli import local

        return local.up_logs(given.data or local.data(), follow=given.follow)
    from events.app.verbs import logs, session

    if given.words and given.selector:
        raise UserError("a name and a selector are too much", cure="give one of them")
    wanted = logs.Wanted(
        given.words,
        given.selector,
        given.container,
        all_containers=given.all_containers,
        follows=given.follow,
        previous=given.previous,
        timestamps=given.timestamps,
        prefix=given.prefix,
        tail=given.tail,
        since=given.since,
        since_time=given.since_time,
        start_seconds=given.pod_running_timeout,
    )
    return session.run(common(given), lambda one: logs.logs(one, wanted))


def _declare_port_forward(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="POD | KIND/NAME")
    parser.add_argument("--address", default="localhost", metavar="IP,…", help="of ours; 0.0.0.0 for every interface")
    parser.add_argument(
        "--pod-running-timeout", type=_seconds, default=20.0, metavar="TIME", help="waits so long (20s)"
    )
    parser.usage = "%(prog)s [options] POD|KIND/NAME [LOCAL:]REMOTE…"
    _server(parser)


def _port_forward(given: Options) -> int:
    from events.app.verbs import forwarding, session

    if len(given.words) < 2:
        raise UserError("say what and which ports", cure="keryx port-forward svc/NAME 8080:80")
    word, *ports = given.words
    addresses = [one for one in given.address.split(",") if one]
    wanted = forwarding.Wanted(word, [forwarding.port(one) for one in ports], addresses, given.pod_running_timeout)
    code = session.run(common(given), lambda one: forwarding.forward(one, wanted))
    return 0 if code == session.INTERRUPTED else code  # Ctrl-C is how it ends


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


VERBS = {
    "apply": Verb("Make the objects of files so: server-side, as the field manager `keryx`.", _declare_apply, _apply),
    "create": Verb("Create the objects of files, or a namespace.", _declare_create, _create),
    "delete": Verb("Delete objects by name, labels or files, and wait until they are gone.", _declare_delete, _delete),
    "describe": Verb(
        "Show objects for people: conditions, pods, what they say, their events.", _declare_describe, _describe
    ),
    "get": Verb("Show objects, as the server's tables, or as they are.", _declare_get, _get),
    "logs": Verb(
        "Print what containers said; without a pod, what `keryx up` in the background said.", _declare_logs, _logs
    ),
    "port-forward": Verb("Lead ports of this machine to ports of a pod.", _declare_port_forward, _port_forward),
}
