"""Step 10, one firing: rate limit, parameters, fetch, execute, policy, retry, dead letter. Contract: B.6, B.7, C.4.

Whatever happens to a firing becomes a Decision; only NotOwner is raised, before an attempt that must not start. One
attempt = permit -> template parameters -> fetch -> resource parameters -> execute -> policy; `retryStrategy` repeats
failed attempts (with atLeastOnce only, as upstream). What the event itself makes impossible is not tried again.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson

from events.backoff import ONCE, retry
from events.errors import ActionError, CredentialError, EventError, KeryxError, NotAvailable, NotOwner, UserError
from events.kube.permissions import Forbidden
from events.metrics import Metrics
from sensors import parameters, policies, types
from sensors.base import Firing, Trigger, TriggerContext
from sensors.decision import PERMISSION, POLICY, Decision, Outcome
from sensors.health import TriggerHealth
from sensors.rate_limit import RateLimiter
from sensors.registry import PRECEDENCE, TRIGGERS

_VARIANTS = 32
UNLIMITED = 1 << 30


def _nothing() -> None:
    """Any attempt may start."""


class PolicyRefused(ActionError):
    """The target did it, and the policy says that it does not count."""


@dataclass(slots=True)
class Armed:
    """A trigger with its compiled resource-level parameters (contract C.4, step 3), and how many firings use it."""

    trigger: Trigger[Any]
    parameters: parameters.Parameters | None
    users: int = 0


class Variants:
    """Instances of a trigger by what template parameters made of its spec; the longest unused is closed.

    Keyed by content, not by the name, which parameters may change: two URLs never share a client by accident.
    """

    def __init__(self, context: TriggerContext) -> None:
        self._context = context
        self._made: OrderedDict[bytes, Armed] = OrderedDict()

    @asynccontextmanager
    async def use(self, kind: str, raw: dict[str, Any]) -> AsyncIterator[Armed]:
        """The instance for this spec, open as long as it is used; UserError when the spec is not valid."""
        key = kind.encode() + orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)
        armed = self._made.get(key)
        if armed is None:
            armed = self._made[key] = arm(kind, raw, self._context)
        self._made.move_to_end(key)
        armed.users += 1
        try:
            yield armed
        finally:
            armed.users -= 1
            await self._close_unused()

    async def _close_unused(self) -> None:
        """Those too many, the longest unused first."""
        unused = [key for key, armed in self._made.items() if not armed.users]
        for key in unused[: max(0, len(self._made) - _VARIANTS)]:
            await self._made.pop(key).trigger.aclose()

    async def aclose(self) -> None:
        """Close all."""
        for armed in self._made.values():
            await armed.trigger.aclose()
        self._made.clear()


def kind_of(template: types.TriggerTemplate) -> str:
    """The kind of trigger that counts; UserError when there is none."""
    for kind in PRECEDENCE:
        if kind in template.kinds:
            return kind
    raise UserError("no kind of trigger is given", path="template", cure=f"one of {', '.join(TRIGGERS)}")


def arm(kind: str, raw: dict[str, Any], context: TriggerContext) -> Armed:
    """A trigger of this kind; UserError (UnknownKind, InvalidObject, NotAvailable …) when that cannot be."""
    cls = TRIGGERS.load(kind)
    spec = cls.Spec.parse(raw, lenient=True)
    if reason := cls.not_run(spec):
        raise NotAvailable(reason, path=kind)
    assert issubclass(cls, Trigger)
    listed = getattr(spec, "parameters", None)
    return Armed(cls(spec, context), parameters.compile(listed) if listed else None)


class Action:
    """What one trigger does, compiled once. UserError when it cannot be."""

    def __init__(
        self, trigger: types.Trigger, context: TriggerContext, metrics: Metrics, health: TriggerHealth | None = None
    ) -> None:
        if trigger.template is None:
            raise UserError("required", path="template")
        self._health = health or TriggerHealth()
        self._template, self._context, self._log = trigger.template, context, context.log
        self.name = trigger.template.name
        self._kind = kind_of(trigger.template)
        self._variants = Variants(context)
        self._template_parameters = parameters.compile(trigger.parameters or [])
        self._is_fixed = not trigger.parameters
        self._fixed = arm(self._kind, trigger.template.kinds[self._kind], context) if self._is_fixed else None
        self._policy = policies.compile(trigger.policy, self._kind)
        self._backoff = (trigger.retry_strategy or ONCE) if trigger.at_least_once else ONCE
        self._limiter = RateLimiter(trigger.rate_limit) if trigger.rate_limit else None
        self._dead_letter = _dead_letter(trigger, context, metrics)
        labels = (context.namespace, context.sensor_name, self.name)
        self._triggered = metrics.action_triggered.labels(*labels)
        self._failed = metrics.action_failed.labels(*labels)
        self._retries_failed = metrics.action_retries_failed.labels(*labels)
        self._duration = metrics.action_duration.labels(*labels)
        self._is_failing = False

    def permits(self) -> int:
        """How many firings the rate limit lets start now."""
        return UNLIMITED if self._limiter is None else self._limiter.available()

    async def permitted(self) -> None:
        """Returns when the rate limit lets one start; takes nothing."""
        if self._limiter is not None:
            await self._limiter.until_available()

    async def carry_out(self, firing: Firing, require: Callable[[], None] = _nothing) -> Decision:
        """Act, with retries; the outcome. `require` is asked before each attempt: NotOwner when none may start."""
        remakes, attempts = firing.remakes, 0

        async def attempt() -> None:
            nonlocal remakes, attempts
            attempts += 1
            try:
                await self._attempt(firing if remakes == firing.remakes else replace(firing, remakes=remakes), require)
            except PolicyRefused:
                remakes += 1  # what was made does not count: the next attempt makes another
                raise

        try:
            await retry(self._backoff, attempt, on_failure=self._on_failure, again=_may_retry)
        except NotOwner:
            raise
        except KeryxError as error:
            return replace(await self._give_up(firing, error, require), attempts=attempts)
        self._health.succeeded()
        if self._is_failing:
            self._is_failing = False
            self._log.info("The trigger succeeds again")
        if self._log.is_debug():
            self._log.debug(
                f"Successfully processed trigger '{self.name}'",
                triggeredBy=sorted(firing.events),
                triggeredByEvents=[event.id for event in firing.events.values()],
            )
        return Decision(Outcome.FIRED, 0, attempts=attempts)

    async def _attempt(self, firing: Firing, require: Callable[[], None]) -> None:
        if self._limiter is not None:
            await self._limiter.acquire()
        require()
        started = time.perf_counter()
        try:
            await self._act(firing)
        except KeryxError:
            self._failed.inc()
            raise
        except Exception as error:
            self._failed.inc()
            self._log.exception("The trigger has a defect", error)
            raise ActionError(f"defect: {error!r}") from error
        finally:
            self._duration.observe(int((time.perf_counter() - started) * 1000))
        self._triggered.inc()

    async def _act(self, firing: Firing) -> None:
        if self._fixed is not None:
            await self._execute(self._fixed, firing)
            return
        # Template parameters make the trigger for these events (contract C.4, step 1).
        template = self._template_parameters.apply_to_template(self._template, firing.events)
        kind = kind_of(template)
        async with self._variants.use(kind, template.kinds[kind]) as armed:
            await self._execute(armed, firing)

    async def _execute(self, armed: Armed, firing: Firing) -> None:
        resource = await armed.trigger.fetch()
        if armed.parameters is not None:
            resource = armed.parameters.apply(resource, firing.events)
        result = await armed.trigger.execute(resource, firing)
        if self._policy is None:
            return
        try:
            await self._policy(result, self._context)
        except ActionError as error:
            raise PolicyRefused(str(error)) from error

    def _on_failure(self, error: KeryxError, attempt: int) -> None:
        """Said once per change of state: a target that is away for hours is one line."""
        if isinstance(error, NotOwner):
            return
        self._health.failed(error)
        say = self._log.debug if self._is_failing else self._log.warning
        self._is_failing = True
        say("Failed to execute a trigger", reason=str(error), attempt=attempt, attempts=self._backoff.attempts)

    async def _give_up(self, firing: Firing, error: KeryxError, require: Callable[[], None]) -> Decision:
        """All attempts failed, or none can succeed."""
        self._retries_failed.inc()
        self._health.failed(error, is_final=True)
        reason = _reason(error)
        detail = str(error)
        is_passed_on = False
        if self._dead_letter is not None:
            end = await self._dead_letter.carry_out(firing, require)
            is_passed_on = end.outcome is Outcome.FIRED
            fired = "fired" if is_passed_on else f"failed: {end.detail}"
            detail = f"{detail}; dead-letter trigger {self._dead_letter.name} {fired}"
        return Decision(Outcome.FAILED, 0, reason=reason, detail=detail, is_passed_on=is_passed_on)

    async def aclose(self) -> None:
        """Release what it holds."""
        if self._fixed is not None:
            await self._fixed.trigger.aclose()
        await self._variants.aclose()
        if self._dead_letter is not None:
            await self._dead_letter.aclose()


def _reason(error: KeryxError) -> str:
    """Whose fault it is, as a word for counting."""
    if isinstance(error, PolicyRefused):
        return POLICY
    if isinstance(error, Forbidden):
        return PERMISSION
    return "event" if isinstance(error, EventError) else "action"


def _may_retry(error: KeryxError) -> bool:
    """The target's failures and unreadable secrets; not what the event or the object makes impossible."""
    return isinstance(error, ActionError | CredentialError)


def _dead_letter(trigger: types.Trigger, context: TriggerContext, metrics: Metrics) -> Action | None:
    """The dead-letter trigger: attempts of its own, no rate limit, no dead letter of its own (contract B.6)."""
    dead_letter = trigger.dlq_trigger
    if dead_letter is None or not trigger.at_least_once:
        return None
    name = dead_letter.template.name if dead_letter.template else ""
    own = dead_letter.model_copy(update={"rate_limit": None, "dlq_trigger": None})
    return Action(own, replace(context, trigger_name=name, log=context.log.bind(triggerName=name)), metrics)
