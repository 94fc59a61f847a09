"""The command `keryx`. What a command needs is imported when it is called.

The services of pods are parsed without the library of the other commands: it would cost each pod 6 MiB and 70 ms. The
verbs of every day, too: it takes 0.2 s by now.
"""

from __future__ import annotations

import sys

VERBS = ("apply", "create", "delete", "describe", "get", "logs", "port-forward")
"""The keys of `verbs.VERBS`: looked at by every process before anything is imported."""


def main() -> None:
    """Entry point; user errors are one line on stderr and exit code 2, never a traceback."""
    if sys.argv[1:2] and sys.argv[1] in VERBS:
        from events.app.cli import verbs

        sys.exit(verbs.main(sys.argv[1:]))
    from events.app.cli import services

    if services.is_plain(sys.argv[1:]):
        sys.exit(services.main(sys.argv[1]))
    if sys.argv[1:2] == ["controller"]:
        from events.app.cli import controller

        sys.exit(controller.main(sys.argv[2:]))
    from events.app.cli.commands import app

    app()
