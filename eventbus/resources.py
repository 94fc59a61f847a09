"""The objects of a bus that the controller runs, and what clients are told of any bus. Pure.

Contract: sensors E.1, E.7, F.5. Beyond Argo Events: a restricted security context, requests, nodes apart, a
PodDisruptionBudget, users per role, and pods that roll when what they read only once has changed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eventbus import secret_data, server_config, stream_config
from eventbus.configuration import JetStreamDefaults
from eventbus.roles import Role
from eventbus.secret_data import Data, Names
from eventbus.server_config import Cluster
from eventbus.types import (
    KIND,
    BusConfig,
    BusPods,
    ContainerTemplate,
    EventBus,
    EventBusSpec,
    JetStreamBus,
    NativeStrategy,
)
from events.credentials import SecretRef, TLSConfig
from events.errors import UserError
from events.kube.api import Object
from events.kube.pods import RESTRICTED, owner_reference

CHECKSUM = "config-checksum"
"""Annotation of the pods: what the servers read only once. Another one rolls them."""
CONTROLLER = "eventbus-controller"
PORTS = {"tcp-client": 4222, "cluster": 6222, "metrics": 7777, "monitor": 8222}
CONFIG_KEY = "nats-js"
_DEFAULT_SIZE = "20Gi"
_USER = 1000
POD_SECURITY: Mapping[str, Any] = {
    "runAsUser": _USER,
    "runAsGroup": _USER,
    "fsGroup": _USER,
    "fsGroupChangePolicy": "OnRootMismatch",
}
REQUESTS: Mapping[str, Mapping[str, str]] = {
    "main": {"cpu": "100m", "memory": "128Mi"},
    "reloader": {"cpu": "10m", "memory": "32Mi"},
    "metrics": {"cpu": "10m", "memory": "32Mi"},
}
_FILES = {
    "auth": "auth.conf",
    "private-key": "server-key.pem",
    "cert": "server-cert.pem",
    "ca-cert": "ca-cert.pem",
    "cluster-private-key": "cluster-server-key.pem",
    "cluster-cert": "cluster-server-cert.pem",
    "cluster-ca-cert": "cluster-ca-cert.pem",
}


def labels(bus: str) -> dict[str, str]:
    """The labels by which everything of a bus is found, also what Argo Events made."""
    return {"controller": CONTROLLER, "eventbus-name": bus, "owner-name": bus}


def jetstream_of(spec: EventBusSpec, defaults: JetStreamDefaults) -> JetStreamBus | None:
    """The JetStream bus that is run for a spec: its own, or one in the place of NATS Streaming; None for neither."""
    if spec.nats is not None:
        return _in_place_of(spec.nats.native, defaults) if spec.nats.native is not None else None
    return spec.jetstream


def _in_place_of(native: NativeStrategy, defaults: JetStreamDefaults) -> JetStreamBus:
    names = [one.version for one in defaults.versions]
    limits = {
        "maxage": native.max_age,
        "maxmsgs": native.max_msgs,
        "maxbytes": stream_config.size(native.max_bytes or ""),
    }
    said = {key: value for key, value in limits.items() if value is not None}
    shared = {name: getattr(native, name) for name in BusPods.model_fields}
    return JetStreamBus(
        **shared,
        version=names[0] if names and "latest" not in names else "latest",
        replicas=max(3, native.replicas or 3),
        stream_config=stream_config.written(said),
        max_payload=native.max_payload,
    )


def outside(raw: Object, spec: EventBusSpec) -> Object | None:
    """`status.config` of a bus that is there already; None for one that the controller runs. UserError: neither."""
    if spec.nats is not None or spec.jetstream is not None:
        if spec.nats is not None and spec.nats.native is None:
            raise UserError("NATS Streaming, past its end of life, is not read", path="spec.nats", cure="use jetstream")
        return None
    if spec.kafka is not None:
        given, metadata = raw["spec"]["kafka"], raw["metadata"]
        return {"kafka": {**given, "topic": spec.kafka.topic or f"{metadata.get('namespace')}-{metadata['name']}"}}
    if spec.jetstream_exotic is not None:
        return {"jetstream": dict(raw["spec"]["jetstreamExotic"])}
    raise UserError("no kind of bus is given", path="spec")


def volume_bytes(jetstream: JetStreamBus) -> int | None:
    """The size of a server's volume; None when it has none, or says none that can be read."""
    if jetstream.persistence is None:
        return None
    return stream_config.size(str(jetstream.persistence.volume_size or _DEFAULT_SIZE))


@dataclass(frozen=True)
class JetStreamObjects:
    """What is made for one bus. `raw` is the EventBus; parts that cannot be made raise UserError."""

    raw: Object
    jetstream: JetStreamBus
    defaults: JetStreamDefaults

    @cached_property
    def names(self) -> Names:
        """What everything is called."""
        metadata = self.raw["metadata"]
        return Names(metadata["name"], metadata.get("namespace") or "")

    def stream_config(self) -> str:
        """The controller's defaults, overlaid by what the EventBus says."""
        return stream_config.merged(self.defaults.stream_config, self.jetstream.stream_config or "")

    def status_config(self) -> Object:
        """`status.config`: what Argo Events would write, so that its pods can use the bus, too."""
        return {
            "jetstream": {
                "url": f"nats://{self.names.host}:{PORTS['tcp-client']}",
                "accessSecret": {"name": self.names.client, "key": secret_data.CLIENT_KEY},
                "streamConfig": self.stream_config(),
            }
        }

    def secrets(self, data: Mapping[str, Data]) -> list[Object]:
        """A Secret for each of `data`, in the order in which they are to be written."""
        return [
            self._object(
                "v1", "Secret", name, type="Opaque", data={key: _encoded(text) for key, text in data[name].items()}
            )
            for name in self.names.secrets
        ]

    def server_config(self, server: Data) -> str:
        """What the servers read; `server` is the data of their Secret."""
        settings = self.jetstream.settings
        if settings is None:
            settings = server_config.fitting(self.defaults.settings, volume_bytes(self.jetstream))
        cluster = Cluster(self.names.bus, self.names.base, self.names.host, self.jetstream.servers)
        payload = self.jetstream.max_payload or "1MB"
        return server_config.server(cluster, max_payload=payload, settings=settings, key=secret_data.key_of(server))

    def config_map(self, server: Data) -> Object:
        """The servers' configuration."""
        return self._object("v1", "ConfigMap", self.names.config_map, data={CONFIG_KEY: self.server_config(server)})

    def service(self) -> Object:
        """The headless Service, by which servers and clients find the pods."""
        spec = {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": labels(self.names.bus),
            "type": "ClusterIP",
            "ports": [{"name": name, "port": port} for name, port in PORTS.items()],
        }
        return self._object("v1", "Service", self.names.service, spec=spec)

    def disruption_budget(self) -> Object | None:
        """One server at a time; None for a single one, which could never be moved."""
        if self.jetstream.servers < 3:
            return None
        spec = {"maxUnavailable": 1, "selector": {"matchLabels": labels(self.names.bus)}}
        return self._object("policy/v1", "PodDisruptionBudget", self.names.base, spec=spec)

    def stateful_set(self, server: Data, existing: Object | None = None) -> Object:
        """The servers. What Kubernetes lets nobody change stays as `existing` has it; `drift` says what that is."""
        claims = self._claims()
        if existing is not None and self.drift(existing):
            found = existing["spec"].get("volumeClaimTemplates") or []
            claims = [{"metadata": {"name": one["metadata"]["name"]}, "spec": one["spec"]} for one in found]
        spec: Object = {
            "podManagementPolicy": "Parallel",
            "replicas": self.jetstream.servers,
            "serviceName": self.names.service,
            "selector": {"matchLabels": labels(self.names.bus)},
            "template": self._pod(server, claims),
        }
        if claims:
            spec["volumeClaimTemplates"] = claims
        made = self._object("apps/v1", "StatefulSet", self.names.base, spec=spec)
        made["metadata"]["labels"] = {**(self.raw["metadata"].get("labels") or {}), **labels(self.names.bus)}
        return made

    def drift(self, existing: Object | None) -> str:
        """What of the spec cannot be had any more, because Kubernetes fixes it when the StatefulSet is made."""
        if existing is None:
            return ""
        wanted, found = self._claims(), existing["spec"].get("volumeClaimTemplates") or []
        if bool(wanted) != bool(found):
            now = "has volumes" if found else "keeps its data with its pods"
            return f"persistence cannot change once the bus is deployed: it {now}"
        if wanted and (_size(wanted) != _size(found) or _class(wanted) not in (None, _class(found))):
            return f"persistence cannot change once the bus is deployed: volumes stay {_size(found)}"
        return ""

    def _claims(self) -> list[Object]:
        persistence = self.jetstream.persistence
        if persistence is None:
            return []
        spec: Object = {
            "accessModes": [persistence.access_mode or "ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": str(persistence.volume_size or _DEFAULT_SIZE)}},
        }
        if persistence.storage_class_name is not None:
            spec["storageClassName"] = persistence.storage_class_name
        return [{"metadata": {"name": self.names.volume}, "spec": spec}]

    def _pod(self, server: Data, claims: list[Object]) -> Object:
        one = self.jetstream
        metadata = one.metadata
        checksum = hashlib.sha256(
            f"{self.server_config(server)}\0{server[secret_data.ENCRYPTION]}".encode()
        ).hexdigest()
        data = claims[0]["metadata"]["name"] if claims else "js-data"
        spec: Object = {
            "shareProcessNamespace": True,
            "terminationGracePeriodSeconds": 60,
            "containers": [self._main(data), self._reloader(), self._metrics()],
            "volumes": [
                {"name": "pid", "emptyDir": {}},
                {"name": "config-volume", "projected": {"sources": self._sources()}},
                *([] if claims else [{"name": data, "emptyDir": {}}]),
            ],
        }
        given = {
            "serviceAccountName": one.service_account_name or None,
            "securityContext": dict(POD_SECURITY) if one.security_context is None else one.security_context or None,
            "nodeSelector": one.node_selector,
            "tolerations": one.tolerations,
            "imagePullSecrets": one.image_pull_secrets,
            "priorityClassName": one.priority_class_name or None,
            "priority": one.priority,
            "affinity": self._apart() if one.affinity is None else one.affinity or None,
        }
        return {
            "metadata": {
                "labels": {**((metadata.labels if metadata else None) or {}), **labels(self.names.bus)},
                "annotations": {**((metadata.annotations if metadata else None) or {}), CHECKSUM: checksum},
            },
            "spec": spec | {key: value for key, value in given.items() if value is not None},
        }

    def _apart(self) -> Object | None:
        """Servers on different nodes, where there are enough of them."""
        if self.jetstream.servers < 3:
            return None
        term = {"labelSelector": {"matchLabels": labels(self.names.bus)}, "topologyKey": "kubernetes.io/hostname"}
        preferred = [{"weight": 100, "podAffinityTerm": term}]
        return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}

    def _sources(self) -> list[Object]:
        files = [{"key": key, "path": path} for key, path in _FILES.items()]
        return [
            {"configMap": {"name": self.names.config_map, "items": [{"key": CONFIG_KEY, "path": "nats-js.conf"}]}},
            {"secret": {"name": self.names.server, "items": files}},
        ]

    def _main(self, data: str) -> Object:
        version = self.defaults.version(self.jetstream.version)
        names, config = self.names, "/etc/nats-config/nats-js.conf"
        env: list[Object] = [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "SERVER_NAME", "value": "$(POD_NAME)"},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "CLUSTER_ADVERTISE", "value": f"$(POD_NAME).{names.service}.$(POD_NAMESPACE).svc"},
            {"name": "JS_KEY", "valueFrom": {"secretKeyRef": {"name": names.server, "key": secret_data.ENCRYPTION}}},
        ]
        stop = [version.start_command, "-sl=ldm=/var/run/nats/nats.pid"]
        return {
            **self._container("main", version.nats_image, self.jetstream.container_template),
            "command": [version.start_command, "--config", config],
            **({"args": self.jetstream.start_args} if self.jetstream.start_args else {}),
            "env": env,
            "ports": [_port("client", 4222), _port("cluster", 6222), _port("monitor", 8222)],
            "volumeMounts": [*_CONFIGURED, {"name": data, "mountPath": "/data/jetstream"}],
            # It listens for clients once the data is read, however long that takes; also when it has given up JetStream
            # meanwhile (a full disk), which only the liveness probe ends within seconds.
            "startupProbe": _probe({"tcpSocket": {"port": 4222}}, periodSeconds=1, failureThreshold=300),
            "livenessProbe": _probe(_monitor("/healthz?js-enabled-only=true"), periodSeconds=10),
            "readinessProbe": _probe(_monitor("/healthz"), periodSeconds=2),
            "lifecycle": {"preStop": {"exec": {"command": stop}}},
        }

    def _reloader(self) -> Object:
        image = self.defaults.version(self.jetstream.version).config_reloader_image
        args = ["-pid", "/var/run/nats/nats.pid", "-config", "/etc/nats-config/nats-js.conf"]
        container = self._container("reloader", image, self.jetstream.reloader_container_template)
        return {**container, "args": args, "volumeMounts": [*_CONFIGURED]}

    def _metrics(self) -> Object:
        image = self.defaults.version(self.jetstream.version).metrics_exporter_image
        asked = ["-connz", "-routez", "-subz", "-varz", "-prefix=nats", "-use_internal_server_id", "-jsz=all"]
        container = self._container("metrics", image, self.jetstream.metrics_container_template)
        return {**container, "args": [*asked, "http://localhost:8222"], "ports": [_port("metrics", 7777)]}

    def _container(self, name: str, image: str, template: ContainerTemplate | None) -> Object:
        template = template or ContainerTemplate()
        made: Object = {
            "name": name,
            "image": image,
            "terminationMessagePolicy": "FallbackToLogsOnError",  # a crash is told in the bus's status
            "resources": template.resources or {"requests": dict(REQUESTS[name])},
            "securityContext": self._security() if template.security_context is None else template.security_context,
        }
        return made | ({"imagePullPolicy": template.image_pull_policy} if template.image_pull_policy else {})

    def _security(self) -> Object:
        """Restricted; the images say root, so another user is only asked for where the pod's context is ours."""
        is_ours = self.jetstream.security_context is None
        return {key: value for key, value in RESTRICTED.items() if is_ours or key != "runAsNonRoot"}

    def _object(self, api_version: str, kind: str, name: str, **fields: Any) -> Object:
        metadata: Object = {
            "name": name,
            "namespace": self.names.namespace,
            "labels": labels(self.names.bus),
            "ownerReferences": [owner_reference(self.raw, KIND)],
        }
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def client_config(bus: Object, role: Role) -> tuple[BusConfig, list[SecretRef]]:
    """What pods of a role are told of a bus, and what of it they mount.

    Of a bus that this controller runs: the role's own user, and whom to trust. Of others what its status says.
    """
    parsed = EventBus.parse(bus, lenient=True)
    config = (parsed.status.config if parsed.status else None) or BusConfig()
    jetstream = jetstream_of(parsed.spec, JetStreamDefaults())
    if jetstream is not None and config.jetstream is not None and _is_run_by_us(parsed):
        metadata = bus["metadata"]
        names = Names(metadata["name"], metadata.get("namespace") or "")
        told = config.jetstream.model_copy(
            update={
                "access_secret": SecretRef(name=names.of(role), key=secret_data.CLIENT_KEY),
                "tls": TLSConfig(ca_cert_secret=SecretRef(name=names.server, key="ca-cert")),
                "stream_config": stream_config.fitting(
                    config.jetstream.stream_config or "", jetstream.servers, volume_bytes(jetstream)
                ),
            }
        )
        config = BusConfig(jetstream=told)
    return config, _mounted(config)


def _is_run_by_us(bus: EventBus) -> bool:
    """Argo Events observes no generations: a bus that it runs has no Secrets for roles yet."""
    conditions = (bus.status.conditions if bus.status else None) or []
    return any(condition.type == "Deployed" and condition.observed_generation is not None for condition in conditions)


def _mounted(config: BusConfig) -> list[SecretRef]:
    server = config.jetstream or config.nats
    found = [server.access_secret if server else None]
    if config.jetstream and (tls := config.jetstream.tls):
        found += [tls.ca_cert_secret, tls.client_cert_secret, tls.client_key_secret]
    return [ref for ref in found if ref is not None]


_CONFIGURED = (
    {"name": "config-volume", "mountPath": "/etc/nats-config"},
    {"name": "pid", "mountPath": "/var/run/nats"},
)


def _monitor(path: str) -> Object:
    return {"httpGet": {"path": path, "port": 8222}}


def _probe(what: Object, **fields: int) -> Object:
    return {**what, "timeoutSeconds": 5, **fields}


def _port(name: str, number: int) -> Object:
    return {"name": name, "containerPort": number}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _size(claims: list[Object]) -> str:
    return str(claims[0]["spec"].get("resources", {}).get("requests", {}).get("storage", ""))


def _class(claims: list[Object]) -> str | None:
    found: str | None = claims[0]["spec"].get("storageClassName")
    return found
