"""What a process imports is what its object needs."""

from __future__ import annotations

import subprocess
import sys


def test_a_sensor_with_an_http_trigger_loads_no_other_sdk() -> None:
    code = (
        "import sys, sensors.service, sensors.triggers.http, eventbus.jetstream.bus, events.app.services;"
        "sdks = ('aiosmtplib', 'boto3', 'cryptography', 'gotpl', 'jq', 'kubernetes', 'lupa', 'rich', 'typer');"
        "print([name for name in sdks if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_validating_every_kind_of_trigger_loads_no_sdk() -> None:
    code = (
        "import sys, sensors.validation; from sensors.registry import TRIGGERS;"
        "[TRIGGERS.load(key).Spec for key in TRIGGERS];"
        "sdks = ('aiohttp', 'aiosmtplib', 'boto3', 'cryptography', 'kubernetes', 'nats');"
        "print([name for name in sdks if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
