"""`keryx wf template|cluster-template|cron …`: one set of commands, made for each kind. Contract: workflows N."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from events.app.cli.guard import guarded, show
from events.app.cli.wf_options import Chosen, Everywhere, Kubeconfig, Names, Namespace, Output, common

if TYPE_CHECKING:
    from events.app.workflows.stored import Kind

Files = Annotated[list[Path], typer.Argument(metavar="FILE", exists=True)]


class _Word:
    """A kind before its module is needed."""

    def __init__(self, word: str, kind: str, text: str, *, is_namespaced: bool = True) -> None:
        self.word, self.kind, self.text, self.is_namespaced = word, kind, text, is_namespaced

    def loaded(self) -> Kind:
        from events.app.workflows.stored import Kind

        return Kind(self.word, self.kind, self.is_namespaced)


KINDS = (
    _Word("template", "WorkflowTemplate", "WorkflowTemplates."),
    _Word("cluster-template", "ClusterWorkflowTemplate", "ClusterWorkflowTemplates.", is_namespaced=False),
    _Word("cron", "CronWorkflow", "CronWorkflows."),
)


def application(word: _Word) -> typer.Typer:
    """The commands of one kind."""
    app = typer.Typer(name=word.word, help=word.text, no_args_is_help=True, rich_markup_mode=None)
    _looking(app, word)
    _writing(app, word)
    if word.kind == "CronWorkflow":
        _suspending(app, word)
    return app


def _run(kubeconfig: Path | None, namespace: str, work: Any) -> int:
    from events.app.workflows import commands

    return commands.run(common(kubeconfig, namespace), work)


def _looking(app: typer.Typer, word: _Word) -> None:
    @app.command("list")
    @guarded
    def list_all(
        selector: Chosen = "",
        output: Output = "",
        namespace: Namespace = "",
        kubeconfig: Kubeconfig = None,
        *,
        everywhere: Everywhere = False,
    ) -> int:
        """List them."""
        from events.app.workflows import stored

        wanted = stored.Listing(everywhere, selector, output)
        return _run(kubeconfig, namespace, lambda one: stored.list_all(one, word.loaded(), wanted, show))

    @app.command("get")
    @guarded
    def get(names: Names, output: Output = "", namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
        """Show some."""
        from events.app.workflows import stored

        return _run(kubeconfig, namespace, lambda one: stored.get(one, word.loaded(), names, output, show))

    @app.command("lint")
    @guarded
    def lint(paths: Files, output: Annotated[str, typer.Option("--output", "-o")] = "pretty") -> int:
        """Check files; exit code 1 when something is wrong."""
        from events.app.workflows import linting

        return linting.lint(paths, output, show)


def _writing(app: typer.Typer, word: _Word) -> None:
    def put(files: list[Path], output: str, namespace: str, kubeconfig: Path | None, *, updates: bool) -> int:
        from events.app.workflows import stored

        return _run(
            kubeconfig,
            namespace,
            lambda one: stored.create(one, word.loaded(), files, output, show, updates=updates),
        )

    @app.command("create")
    @guarded
    def create(files: Files, output: Output = "", namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
        """Create those of files, once they are right."""
        return put(files, output, namespace, kubeconfig, updates=False)

    @app.command("update")
    @guarded
    def update(files: Files, output: Output = "", namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
        """Replace those that are there by those of files."""
        return put(files, output, namespace, kubeconfig, updates=True)

    @app.command("delete")
    @guarded
    def delete(
        names: Annotated[list[str] | None, typer.Argument(metavar="NAME")] = None,
        namespace: Namespace = "",
        kubeconfig: Kubeconfig = None,
        *,
        is_all: Annotated[bool, typer.Option("--all")] = False,
    ) -> int:
        """Delete by name, or all of the namespace."""
        from events.app.workflows import stored

        return _run(
            kubeconfig,
            namespace,
            lambda one: stored.delete(one, word.loaded(), names or [], show, is_all=is_all),
        )


def _suspending(app: typer.Typer, word: _Word) -> None:
    def change(names: list[str], namespace: str, kubeconfig: Path | None, *, is_suspended: bool) -> int:
        from events.app.workflows import stored

        return _run(
            kubeconfig,
            namespace,
            lambda one: stored.suspend(one, word.loaded(), names, show, is_suspended=is_suspended),
        )

    @app.command("suspend")
    @guarded
    def suspend(names: Names, namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
        """Make no Workflows."""
        return change(names, namespace, kubeconfig, is_suspended=True)

    @app.command("resume")
    @guarded
    def resume(names: Names, namespace: Namespace = "", kubeconfig: Kubeconfig = None) -> int:
        """Make Workflows again."""
        return change(names, namespace, kubeconfig, is_suspended=False)
