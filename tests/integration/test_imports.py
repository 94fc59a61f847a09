"""What a process imports is what its object needs."""

from __future__ import annotations

import subprocess
import sys


def test_a_sensor_with_an_http_trigger_loads_no_other_sdk() -> None:
    code = (
        "import sys, sensors.service, sensors.triggers.http, eventbus.jetstream.bus, events.app.services;"
        "print([name for name in ('kubernetes', 'typer', 'rich', 'jq', 'lupa', 'gotpl') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
