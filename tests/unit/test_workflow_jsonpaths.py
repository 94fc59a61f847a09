"""kubectl's jsonpath texts in outputs of resource templates. Contract: workflows B.2."""

from __future__ import annotations

import pytest

from events.local.workflows import jsonpaths
from events.local.workflows.errors import WorkflowError

OBJECT = {
    "metadata": {"name": "n", "labels": {"app.kubernetes.io/name": "web", "b": "c"}},
    "items": [{"name": "a", "on": True, "n": 1}, {"name": "b", "on": False, "n": 2}],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.metadata.name}", "n"),
        ("is {.metadata.name}!", "is n!"),
        ("{metadata.name}", "n"),
        ("{$.metadata.name}", "n"),
        ("{.items[0].name}", "a"),
        ("{.items[-1].name}", "b"),
        ("{.items[*].name}", "a b"),
        ("{.items[0:2].n}", "1 2"),
        ('{.items[?(@.name=="b")].n}', "2"),
        ("{.items[0]}", '{"n":1,"name":"a","on":true}'),
        ("{.items[0].on}", "true"),
        (r"{.metadata.labels.app\.kubernetes\.io/name}", "web"),
        ("{.metadata.labels['b']}", "c"),
        ("{.status.phase}", ""),
        ('{range .items[*]}{.name}={.n}{"\\n"}{end}done', "a=1\nb=2\ndone"),
        ("{range .nothing[*]}{.name}{end}none", "none"),
        ("{range .items[*]}{$.metadata.name}{end}", "nn"),
        ("plain", "plain"),
    ],
)
def test_a_template_is_filled_as_kubectl_does(template: str, text: str) -> None:
    assert jsonpaths.text_of(OBJECT, template) == text


@pytest.mark.parametrize("template", ["{.a", "{range .items[*]}{.name}", "{end}", "{.items[}"])
def test_a_template_that_is_none_says_so(template: str) -> None:
    with pytest.raises(WorkflowError, match="jsonPath"):
        jsonpaths.text_of(OBJECT, template)
