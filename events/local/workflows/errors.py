"""How an evaluation or an execution in a workflow ends badly. Texts are those that clients of Argo match on."""

from __future__ import annotations

from events.errors import UserError


class WorkflowError(UserError):
    """Something of this workflow cannot be evaluated or executed; becomes the message of a node."""


class Unresolved(WorkflowError):
    """A reference to a step or task that has no value yet: look again later."""


class Postponed(WorkflowError):
    """A limit is reached; nothing starts now."""


class TimedOut(WorkflowError):
    """A template's timeout is over."""
