"""Triggers that this version describes and does not run: checked with a warning, refused before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.keryx import run_to_end

SENSOR: dict[str, Any] = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Sensor", "metadata": {"name": "s"}}
DEPENDENCY = {"name": "dep", "eventSourceName": "hooks", "eventName": "orders"}
PULSAR = {"pulsar": {"url": "pulsar://h", "topic": "t", "payload": []}}


@pytest.mark.parametrize(
    ("trigger", "path"),
    [
        ({"template": PULSAR}, "template.pulsar"),
        (
            {
                "template": {"log": {}},
                "atLeastOnce": True,
                "dlqTrigger": {"template": {"name": "d", **PULSAR}, "atLeastOnce": True},
            },
            "dlqTrigger.template.pulsar",
        ),
    ],
)
def test_it_passes_a_check_and_is_not_started(tmp_path: Path, trigger: dict[str, Any], path: str) -> None:
    named = trigger | {"template": {"name": "t", **trigger["template"]}}
    file, data = tmp_path / "s.yaml", tmp_path / "data"
    file.write_text(yaml.safe_dump(SENSOR | {"spec": {"dependencies": [DEPENDENCY], "triggers": [named]}}))
    for command in (("lint", file), ("run", "--check", "--dry-run", file)):
        checked = run_to_end(*command)
        assert checked.returncode == 0
        assert f"spec.triggers[0].{path}" in checked.stdout + checked.stderr
        assert "does not run it" in checked.stdout + checked.stderr
    refused = run_to_end("run", "--dry-run", "--data", data, file)
    assert refused.returncode == 2
    assert f"spec.triggers[0].{path}: this version of Keryx describes" in refused.stderr
    assert not data.exists()
