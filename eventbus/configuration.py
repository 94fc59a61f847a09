"""What the installer of a cluster says of all buses: images and defaults. Contract: sensors F.2.

Pure. Whoever watches the file keeps the last configuration that could be read: `parse` changes nothing it has given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, Field

from eventbus import stream_config
from events import yamls
from events.errors import InvalidObject, UserError
from events.model import Model
from events.problems import Problem, Problems, Severity

FILE = "/etc/argo-events/controller-config.yaml"
CONFIG_MAP, KEY = "argo-events-controller-config", "controller-config.yaml"


class JetStreamVersion(Model):
    """A version that an EventBus may name, and what its pods run."""

    version: str = Field("", description="The name by which an EventBus asks for it.")
    nats_image: str = Field("", description="Image of nats-server.")
    metrics_exporter_image: str = Field("", description="Image of prometheus-nats-exporter.")
    config_reloader_image: str = Field("", description="Image of nats-server-config-reloader.")
    start_command: str = Field("", description="The server in its image.")


class JetStreamDefaults(Model):
    """Defaults of all JetStream buses."""

    settings: str = Field("", description="Lines for the server's jetstream block.")
    stream_config: str = Field("", description="YAML of the stream, which an EventBus may overlay.")
    versions: list[JetStreamVersion] = Field(default_factory=list, description="What there is to choose from.")

    def version(self, name: str) -> JetStreamVersion:
        """The version of this name; UserError naming those there are."""
        for one in self.versions:
            if one.version == name:
                return one
        known = ", ".join(one.version for one in self.versions)
        cure = f"one of {known}" if known else "list versions in the controller's configuration"
        raise UserError(f"the version {name!r} is not in the controller's configuration", cure=cure)


class NatsVersion(Model):
    """NATS Streaming of Argo Events. Without effect."""

    version: str = Field("", description="Without effect.")
    nats_streaming_image: str = Field("", description="Without effect.")
    metrics_exporter_image: str = Field("", description="Without effect.")


class NatsDefaults(Model):
    """Accepted, so that the file of an Argo Events installation can stay as it is."""

    versions: list[NatsVersion] = Field(default_factory=list, description="Without effect.")


class BusDefaults(Model):
    """What concerns buses."""

    nats: NatsDefaults = Field(default_factory=NatsDefaults, description="Without effect.")
    jetstream: JetStreamDefaults = Field(default_factory=JetStreamDefaults, description="JetStream.")


class Configuration(Model):
    """The whole file."""

    event_bus: BusDefaults = Field(default_factory=BusDefaults, description="Buses.")

    @property
    def jetstream(self) -> JetStreamDefaults:
        """What concerns JetStream."""
        return self.event_bus.jetstream


_UPSTREAM = {
    "2.10.29": ("2.10.29", "0.14.0", "0.14.0", "/nats-server"),
    **{
        version: (version, "0.9.1", "0.7.0", "/nats-server")
        for version in ("2.8.1", "2.8.2", "2.9.1", "2.9.12", "2.9.16")
    },
    **{version: (version, "0.9.1", "0.7.0", "nats-server") for version in ("2.8.1-alpine", "2.8.2-alpine")},
}
_VERSIONS = {
    "latest": ("2.14.2", "0.18.0", "0.23.0", "/nats-server"),
    "2.14.2": ("2.14.2", "0.18.0", "0.23.0", "/nats-server"),
    "2.14.2-alpine": ("2.14.2-alpine", "0.18.0", "0.23.0", "nats-server"),
    "2.12.6-alpine": ("2.12.6-alpine", "0.18.0", "0.21.1", "nats-server"),
    **_UPSTREAM,
}
_STREAM = """\
maxMsgs: -1
maxAge: 168h
maxBytes: 10737418240
replicas: 3
duplicates: 300s
retention: 0
discard: 0
"""


def shipped() -> Configuration:
    """What is installed where nobody says otherwise: no limit on messages but one on bytes, so that a full disk does
    not end the bus; versions of Argo Events, and recent ones.
    """
    versions = [
        JetStreamVersion(
            version=name,
            nats_image=f"nats:{nats}",
            metrics_exporter_image=f"natsio/prometheus-nats-exporter:{exporter}",
            config_reloader_image=f"natsio/nats-server-config-reloader:{reloader}",
            start_command=command,
        )
        for name, (nats, exporter, reloader, command) in _VERSIONS.items()
    ]
    settings = "max_memory_store: -1\nmax_file_store: 1TB\n"
    jetstream = JetStreamDefaults(settings=settings, stream_config=_STREAM, versions=versions)
    return Configuration(event_bus=BusDefaults(jetstream=jetstream))


def text(configuration: Configuration) -> str:
    """A configuration as the file has it."""
    return yamls.dump(configuration.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def parse(given: str, on_warning: Callable[[Iterable[Problem]], None]) -> Configuration:
    """The configuration of a file's text; InvalidObject with all that is wrong, by field.

    Letter case of keys means nothing. Keys that nobody knows are warned of, for upstream ignores them.
    """
    problems = Problems()
    try:
        raw = yamls.load_one(given) if given.strip() else {}
    except UserError as error:
        problems.error("", f"is not YAML: {error.message}")
        raise InvalidObject(problems.errors) from error
    folded = _folded(raw, Configuration, problems)
    on_warning([problem for problem in problems if problem.severity is Severity.WARNING])
    if problems.errors:
        raise InvalidObject(problems.errors)
    made = Configuration.parse(folded)
    _check(made.jetstream, problems.at("eventBus.jetstream"))
    if problems.errors:
        raise InvalidObject(problems.errors)
    return made


def _check(jetstream: JetStreamDefaults, problems: Problems) -> None:
    if not jetstream.versions:
        problems.error("versions", "at least one version is required", "see the shipped configuration")
    for index, one in enumerate(jetstream.versions):
        for field, value in one.model_dump(by_alias=True).items():
            if not value:
                problems.error(f"versions[{index}].{field}", "required")
    names = [one.version for one in jetstream.versions]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.error("versions", f"version {name!r} is there twice")
    try:
        stream_config.merged(jetstream.stream_config, "")
    except UserError as error:
        problems.error("streamConfig", error.message, error.cure)


def _folded(raw: Any, model: type[BaseModel], problems: Problems) -> Any:
    """`raw` with the keys of the model as the model spells them."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        problems.error("", "is not a map")
        return {}
    fields = {
        str(field.alias or name).lower(): (str(field.alias or name), field)
        for name, field in model.model_fields.items()
    }
    found: dict[str, Any] = {}
    for key, value in raw.items():
        known = fields.get(str(key).lower())
        if known is None:
            problems.warn(
                str(key), "is not known and has no effect", f"known are {', '.join(one for one, _ in fields.values())}"
            )
            continue
        name, field = known
        if name in found:
            problems.error(str(key), "is there twice, spelled differently")
        found[name] = _value(value, field.annotation, problems.at(name))
    return {name: value for name, value in found.items() if value is not None}


def _value(value: Any, annotation: Any, problems: Problems) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _folded(value, annotation, problems)
    if value is not None and (inner := next(iter(get_args(annotation)), None)):
        if not isinstance(value, list):
            problems.error("", "is not a list")
            return []
        return [_folded(one, inner, problems.at(f"[{index}]")) for index, one in enumerate(value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # `version: 2.9` is a number in YAML
    return value
