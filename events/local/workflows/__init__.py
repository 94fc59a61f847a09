"""Workflows, WorkflowTemplates, ClusterWorkflowTemplates and CronWorkflows, carried out. Contract: workflows.

Objects are raw dicts in Argo's wire form. Everything but the last three lines is pure: no I/O, no clock but the
time passed in.

    names.py phases.py          ids of nodes, names of pods; what a phase means
    tags.py expressions.py      `{{x}}` and `{{=x}}` in the JSON form of an object
    variables.py scopes.py      what may be referred to
    arguments.py                arguments given to a template
    when.py depends.py loops.py the small languages of steps and tasks
    merging.py                  workflowTemplateRef, defaults
    schedules.py cron.py        when a CronWorkflow is due, and what it does then
    validation/                 what submit and lint refuse
    engine/                     THE HEART: (workflow, pods, now) -> (status, pods to make)
    pods.py                     the pod of a node
    tree.py                     the nodes drawn
    suspending.py               resume, stop and set on suspended nodes
    configuration.py throttle.py        what holds for all; how many run at once
    custom_metrics.py           what Workflows count
    artifacts/                  where artifacts lie, and how they come there
    handover.py                 what pods need and leave: scripts, parameters, artifacts
    controller.py pod_making.py ending.py archive.py    watches and writes
    resource_pod.py data_pod.py what pods of ours run; resource_flags.py jsonpaths.py: kubectl's words and texts
"""
