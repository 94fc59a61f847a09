"""Logs to stderr: JSON lines off a terminal, readable on one. Contract: sensors 0.4 (keys) and H.3 (texts).

Once per change of state, with object, reason, number, what happens next; nothing per event above debug.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

ROOT = "argo-events"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_WIRE_LEVELS = {"WARNING": "warn", "CRITICAL": "fatal"}


class Log:
    """A logger with fields of its own: `log.bind(sensorName="orders").info("Sensor started.", triggers=3)`."""

    __slots__ = ("_fields", "_logger")

    def __init__(self, name: str, **fields: Any) -> None:
        self._logger = logging.getLogger(name if name.startswith(ROOT) else f"{ROOT}.{name}")
        self._fields = fields

    def bind(self, **fields: Any) -> Log:
        """The same logger with more fields on every line."""
        return Log(self._logger.name, **(self._fields | fields))

    def is_debug(self) -> bool:
        """Whether debug lines are written: ask before building an expensive one."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def debug(self, message: str, **fields: Any) -> None:
        """What happens to single events."""
        self._log(logging.DEBUG, message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """A change of state that needs nobody."""
        self._log(logging.INFO, message, fields)

    def warning(self, message: str, **fields: Any) -> None:
        """Something went wrong and is being dealt with."""
        self._log(logging.WARNING, message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """Something is lost or stands still."""
        self._log(logging.ERROR, message, fields)

    def exception(self, message: str, error: BaseException, **fields: Any) -> None:
        """A defect of ours, with its traceback."""
        self._log(logging.ERROR, message, fields, error)

    def _log(self, level: int, message: str, fields: dict[str, Any], error: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, extra={"fields": self._fields | fields}, exc_info=error, stacklevel=3)


def plain(value: Any) -> str:
    """A field's value as it stands on a line: errors by their text, everything else as JSON would have it."""
    return str(value)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: level, ts, logger, caller, msg, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "level": _WIRE_LEVELS.get(record.levelname, record.levelname.lower()),
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "logger": record.name,
            "caller": f"{record.module}.py:{record.lineno}",
            "msg": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["stacktrace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=plain, option=orjson.OPT_NON_STR_KEYS).decode()


class TerminalFormatter(logging.Formatter):
    """`12:04:31 sensor  Sensor started.  sensorName=orders triggers=3`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.fromtimestamp(record.created)
        fields = " ".join(f"{name}={plain(value)}" for name, value in getattr(record, "fields", {}).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        line = f"{moment:%H:%M:%S} {record.name.removeprefix(f'{ROOT}.'):<12} {level}{record.getMessage()}"
        line = f"{line}  {fields}" if fields else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def level() -> str:
    """What `set_up` was told: debug, info, warn or error."""
    set_to = logging.getLogger(ROOT).level
    return next((name for name, number in _LEVELS.items() if number == set_to), "info")


def _add(fields: dict[str, Any], record: logging.LogRecord) -> bool:
    record.fields = fields | getattr(record, "fields", {})
    return True


def set_up(level: str = "info", stream: TextIO | None = None, **fields: Any) -> None:
    """Send the logs of this process to `stream` (stderr), with `fields` on every line."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    if fields:
        handler.addFilter(lambda record: _add(fields, record))
    handler.setFormatter(TerminalFormatter() if stream.isatty() else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries; ours below
    for ours in (ROOT, "keryx"):
        logging.getLogger(ours).setLevel(_LEVELS.get(level, logging.INFO))
    # nats-py logs every failed reconnect with a traceback; our own line per change of state says it once.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
