"""The manifests that users of Argo Events have today: every one passes, but for those that never did what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from events.app import documents, lint
from events.app.objects import Loader
from events.problems import Severity

EXAMPLES = Path(__file__).parents[3] / "shared/upstream-examples"
REFUSED = {
    "sensors/trigger-with-policy.yaml": "beside `template`",  # keys in the wrong place: upstream ignores them
    "tutorials/09-http-trigger/sensor-02.yaml": "url",  # `serverURL`, which is no field
}
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs ../shared/upstream-examples")
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.yaml")) if EXAMPLES.is_dir() else []


@pytest.mark.parametrize("name", FILES)
def test_a_published_manifest_passes_or_is_told_what_is_wrong(name: str) -> None:
    (checked,) = [lint.check([EXAMPLES / name], is_deep=False)]
    text = "\n".join(lint.FORMATS["text"](checked))
    if name in REFUSED:
        assert lint.exit_code(checked, is_strict=False), text
        assert REFUSED[name] in text
    else:
        assert not lint.exit_code(checked, is_strict=False), text


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_a_published_manifest_could_be_run(name: str) -> None:
    found, problems = documents.read([EXAMPLES / name], Path(".keryx"))
    loader = Loader()
    loader.load(found, can_create=True)
    errors = [str(one) for one in [*problems, *loader.problems] if one.severity is Severity.ERROR]
    # Files that belong together are apart here: a bus that another file describes is none of this file's.
    assert [one for one in errors if "there is no EventBus" not in one] == []
