"""Moto's server: AWS's APIs on a loopback port. Functions run nowhere there: one answers with the event it got."""

from __future__ import annotations

import io
import json
import logging
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-central-1"


class Aws:
    """The server, and clients of the test's own."""

    def __init__(self, host: str) -> None:
        self.host, self.url = host, f"http://{host}"

    def client(self, service: str, region: str = REGION) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, region_name=region, endpoint_url=self.url, **keys)

    def post(self, path: str, body: Any = None) -> None:
        """One of moto's own calls."""
        data = json.dumps(body).encode() if body is not None else b""
        request = urllib.request.Request(f"{self.url}/moto-api/{path}", data, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def reset(self) -> None:
        self.post("reset")
        self.post("config", {"lambda": {"use_docker": False}})

    def make_function(self, name: str, region: str = REGION) -> None:
        role = self.client("iam").create_role(RoleName=f"{name}-role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("main.py", "def handle(event, context): return event")
        self.client("lambda", region).create_function(
            FunctionName=name, Runtime="python3.11", Role=role, Handler="main.handle", Code={"ZipFile": code.getvalue()}
        )


@contextmanager
def aws() -> Iterator[Aws]:
    """A server without anything on it: what servers before it made would still be there, as it is this process's."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        made = Aws(f"{host}:{port}")
        made.reset()
        yield made
    finally:
        server.stop()
