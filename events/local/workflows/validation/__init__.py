"""What submit, lint and the first look refuse. Contract: workflows M. The first error is raised, as a WorkflowError.

checking.py     objects: Workflow, WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow
templates.py    a template with its arguments, and those it calls
leaves.py       templates that call no others
groups.py       steps and dag
scopes.py       which variables may stand where
naming.py       names, arguments, outputs
"""

from __future__ import annotations

from events.local.workflows.validation.checking import check, check_cron, check_template, check_workflow

__all__ = ["check", "check_cron", "check_template", "check_workflow"]
