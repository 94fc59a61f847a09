"""What becomes of a Workflow when it is looked at. Contract: workflows B-I, K.

`operate(given) -> Result` is pure: the Workflow, its pods and what they reported, templates, config maps, locks and the
time in; the new Workflow, pods to make and to stop, cache entries to write, and when to look again out.

    operating.py    one look, from its first line to its last
    run.py          the state of one look: nodes, variables, what is to be done
    templates.py    which template a name means
    execution.py    a template is carried out: limits, locks, cache, retries, then by its type
    steps.py dag.py leaves.py       the types
    retries.py hooks.py             around them
    limits.py locks.py caches.py    what may keep a node from starting
    observing.py podphases.py       what pods say of nodes
    scopes.py       outputs of steps and tasks, for those that refer to them
    progress.py     n/m
    measuring.py    metrics
"""

from __future__ import annotations

from events.local.workflows.engine.locks import Locks
from events.local.workflows.engine.operating import operate
from events.local.workflows.engine.run import Given, Result

__all__ = ["Given", "Locks", "Result", "operate"]
