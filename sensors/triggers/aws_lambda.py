"""Functions of AWS Lambda, invoked. Contract: sensors D.4.

An attempt is one invocation: botocore's own retries are off, for they would invoke again what may be running. Flaw X5:
a function that failed answers 200, so that no policy can see it; here that is a failed attempt.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import Field

from events import aws
from events.credentials import SecretRef
from events.errors import ActionError
from events.problems import Problems, did_you_mean
from sensors import base, decoding, parameters, payloads
from sensors.base import Firing, Result, TriggerContext
from sensors.types import TriggerParameter

INVOCATION_TYPES = ("RequestResponse", "Event", "DryRun")
KEPT = 64 * 1024
"""Bytes of an answer that are kept for the log."""
_SECONDS = {"RequestResponse": 930.0}
"""A function may run for 15 minutes."""
_SHORT_SECONDS = 60.0
_SHOWN = 300


class AwsLambdaSpec(base.Spec):
    """Calls an AWS Lambda function. Contract: sensors D.4."""

    function_name: str = Field("", description="Name or ARN of the function.")
    region: str = Field("", description="AWS region of the function.")
    access_key: SecretRef | None = Field(None, description="Secret with the access key.")
    secret_key: SecretRef | None = Field(None, description="Secret with the secret key.")
    role_arn: str | None = Field(
        None, alias="roleARN", description="Role to assume, with the process's own credentials; the keys are ignored."
    )
    invocation_type: str | None = Field(
        None, description="RequestResponse (default): wait for the function; Event: do not; DryRun: only ask whether."
    )
    payload: list[TriggerParameter] | None = Field(
        None, description="Values that make the event of the function, as JSON."
    )
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    failure: str


class AwsLambdaTrigger(base.Trigger[AwsLambdaSpec]):
    """One invocation per firing."""

    Spec = AwsLambdaSpec

    def __init__(self, spec: AwsLambdaSpec, context: TriggerContext) -> None:
        super().__init__(spec, context)
        self._text = orjson.dumps(spec.wire()).decode()
        self._payload = parameters.compile(spec.payload, "payload")
        self._clients: dict[aws.Access, aws.Client] = {}

    @classmethod
    def validate(cls, spec: AwsLambdaSpec, problems: Problems) -> None:
        payloads.required(spec, problems, "functionName", "region")
        payloads.validate(spec.payload, problems.at("payload"))
        if (spec.access_key is None) != (spec.secret_key is None) and not spec.role_arn:
            missing = "secretKey" if spec.secret_key is None else "accessKey"
            problems.warn(missing, "accessKey and secretKey go together: every attempt fails", "set both, or neither")
        if spec.role_arn and (spec.access_key or spec.secret_key):
            problems.warn("roleARN", "takes the process's own credentials: accessKey and secretKey have no effect")
        if spec.invocation_type and spec.invocation_type not in INVOCATION_TYPES:
            cure = did_you_mean(spec.invocation_type, INVOCATION_TYPES) or f"one of {', '.join(INVOCATION_TYPES)}"
            problems.warn("invocationType", f"unknown type {spec.invocation_type!r}: every attempt fails", cure)

    async def fetch(self) -> str:
        return self._text

    async def execute(self, resource: str, firing: Firing) -> Result:
        spec, payload = self.spec, self._payload
        if resource != self._text:
            spec = decoding.read(AwsLambdaSpec, resource)
            payload = parameters.compile(spec.payload, "payload")
        how = spec.invocation_type or INVOCATION_TYPES[0]
        wanted: dict[str, Any] = {"FunctionName": spec.function_name, "InvocationType": how}
        if body := payload.payload(firing.events):
            wanted["Payload"] = body
        seconds = _SECONDS.get(how, _SHORT_SECONDS)
        answer = await self._client(spec, seconds).run(lambda client: _invoke(client, wanted), seconds=seconds)
        if answer.failure:
            raise ActionError(f"the function failed ({answer.failure}): {_shown(answer.body)}")
        return Result(value=answer.body.decode("utf-8", "replace"), status=answer.status)

    def _client(self, spec: AwsLambdaSpec, seconds: float) -> aws.Client:
        """A client with the keys as they are now; the last one, unless something has changed."""
        keys = ("", "") if spec.role_arn else (self._secret(spec.access_key), self._secret(spec.secret_key))
        access = aws.Access("lambda", spec.region, *keys, role=spec.role_arn or "")
        if access not in self._clients:
            self._clients = {access: aws.Client(access, seconds)}
        return self._clients[access]

    def _secret(self, ref: SecretRef | None) -> str:
        return self.context.secrets.value(ref) if ref is not None else ""


def _invoke(client: Any, wanted: dict[str, Any]) -> _Answer:
    answer = client.invoke(**wanted)
    with closing(answer["Payload"]) as body:
        return _Answer(answer["StatusCode"], body.read(KEPT), answer.get("FunctionError", ""))


def _shown(body: bytes) -> str:
    """What a failed function says: its error message, or the beginning of its answer."""
    try:
        text = str(orjson.loads(body)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        text = body.decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
