"""Objects of a bus, beyond what the recorded cases say; and what clients are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from eventbus import configuration, resources, secret_data
from eventbus.resources import JetStreamObjects
from eventbus.secret_data import Data, Known, Names
from eventbus.types import EventBus
from events.kube.api import Object

NAMES = Names("default", "argo")
DEFAULTS = configuration.shipped().jetstream


@pytest.fixture(scope="module")
def server() -> Data:
    return secret_data.ensured(NAMES, Known(), datetime(2026, 7, 1, tzinfo=UTC))[NAMES.server]


def bus(spec: dict[str, Any], **status: Any) -> Object:
    metadata = {"name": "default", "namespace": "argo", "uid": "u-1"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "EventBus",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def maker(**jetstream: Any) -> JetStreamObjects:
    raw = bus({"jetstream": {"version": "latest", **jetstream}})
    found = resources.jetstream_of(EventBus.parse(raw).spec, DEFAULTS)
    assert found is not None
    return JetStreamObjects(raw, found, DEFAULTS)


def pod(made: Object) -> Any:
    return made["spec"]["template"]["spec"]


def test_data_goes_to_volumes_where_the_spec_says_so(server: Data) -> None:
    made = maker(persistence={"storageClassName": "fast", "volumeSize": "5Gi"}).stateful_set(server)
    assert made["spec"]["volumeClaimTemplates"] == [
        {
            "metadata": {"name": "eventbus-default-js-vol"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "volumeMode": "Filesystem",
                "storageClassName": "fast",
                "resources": {"requests": {"storage": "5Gi"}},
            },
        }
    ]
    mounts = pod(made)["containers"][0]["volumeMounts"]
    assert {"name": "eventbus-default-js-vol", "mountPath": "/data/jetstream"} in mounts
    assert [one["name"] for one in pod(made)["volumes"]] == ["pid", "config-volume"]


def test_what_kubernetes_fixed_stays_and_is_said(server: Data) -> None:
    former = maker(persistence={"volumeSize": "5Gi"}).stateful_set(server)
    larger, none = maker(persistence={"volumeSize": "50Gi"}), maker()
    assert larger.stateful_set(server, former)["spec"]["volumeClaimTemplates"] == former["spec"]["volumeClaimTemplates"]
    assert "volumes stay 5Gi" in larger.drift(former)
    kept = none.stateful_set(server, former)
    assert kept["spec"]["volumeClaimTemplates"] == former["spec"]["volumeClaimTemplates"]
    assert "js-data" not in [one["name"] for one in pod(kept)["volumes"]]
    assert "has volumes" in none.drift(former)
    assert "with its pods" in larger.drift(maker().stateful_set(server))
    assert maker(persistence={"volumeSize": "5Gi"}).drift(former) == ""


def test_one_server_is_no_cluster_and_can_be_evicted(server: Data) -> None:
    one, three = maker(replicas=1), maker()
    assert "cluster {" not in one.server_config(server)
    assert "cluster {" in three.server_config(server)
    assert one.disruption_budget() is None
    budget = three.disruption_budget()
    assert budget is not None
    assert budget["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": resources.labels("default")}}
    assert "affinity" not in pod(one.stateful_set(server))


def test_pods_roll_when_the_configuration_or_the_key_changes_and_not_with_users(server: Data) -> None:
    def checksum(made: JetStreamObjects, **changed: str) -> str:
        return str(
            made.stateful_set(server | changed)["spec"]["template"]["metadata"]["annotations"]["config-checksum"]
        )

    before = checksum(maker())
    assert checksum(maker(maxPayload="2MB")) != before
    assert checksum(maker(), encryption="another") != before
    assert checksum(maker(), auth="other users", cert="renewed") == before


def test_a_security_context_of_the_authors_is_not_second_guessed(server: Data) -> None:
    ours = pod(maker().stateful_set(server))
    assert ours["securityContext"]["runAsUser"] == 1000
    assert all(one["securityContext"]["runAsNonRoot"] for one in ours["containers"])
    none = pod(maker(securityContext={}).stateful_set(server))
    assert "securityContext" not in none
    assert all("runAsNonRoot" not in one["securityContext"] for one in none["containers"])
    theirs = pod(maker(containerTemplate={"securityContext": {"runAsUser": 7}}).stateful_set(server))
    assert theirs["containers"][0]["securityContext"] == {"runAsUser": 7}


def test_the_store_leaves_room_on_its_volume_unless_the_bus_says_otherwise(server: Data) -> None:
    assert "max_file_store: 1TB" in maker().server_config(server)
    assert f"max_file_store: {int((10 << 30) * 0.9)}" in maker(persistence={"volumeSize": "10Gi"}).server_config(server)
    own = maker(persistence={"volumeSize": "10Gi"}, settings="max_file_store: 3GB\n")
    assert "max_file_store: 3GB" in own.server_config(server)


def test_native_streaming_becomes_jetstream_with_its_limits() -> None:
    raw = bus({"nats": {"native": {"replicas": 1, "maxAge": "1h", "maxBytes": "2GB", "nodeSelector": {"a": "b"}}}})
    found = resources.jetstream_of(EventBus.parse(raw).spec, DEFAULTS)
    assert found is not None
    assert (found.version, found.servers, found.node_selector) == ("latest", 3, {"a": "b"})
    assert found.stream_config == f"maxage: 1h\nmaxbytes: {2 << 30}\n"


def deployed(raw: Object, **condition: Any) -> Object:
    made = JetStreamObjects(raw, resources.jetstream_of(EventBus.parse(raw).spec, DEFAULTS), DEFAULTS)  # type: ignore[arg-type]
    conditions = [{"type": "Deployed", "status": "True", **condition}]
    return raw | {"status": {"config": made.status_config(), "conditions": conditions}}


def test_pods_of_a_role_get_its_user_and_verify_the_servers() -> None:
    raw = deployed(bus({"jetstream": {"version": "latest", "replicas": 1}}), observedGeneration=1)
    for role, secret in (("source", "eventbus-default-js-source-auth"), ("sensor", "eventbus-default-js-sensor-auth")):
        config, mounts = resources.client_config(raw, role)  # type: ignore[arg-type]
        told = config.wire()["jetstream"]
        assert told["accessSecret"] == {"name": secret, "key": "client-auth"}
        assert told["tls"] == {"caCertSecret": {"name": "eventbus-default-js-server", "key": "ca-cert"}}
        assert "replicas: 1" in told["streamConfig"], "there is one server only"
        assert [ref.name for ref in mounts] == [secret, "eventbus-default-js-server"]
    status = raw["status"]["config"]["jetstream"]
    assert "tls" not in status
    assert status["accessSecret"]["name"] == "eventbus-default-js-client-auth"


def test_of_a_bus_that_argo_events_runs_pods_are_told_what_its_status_says() -> None:
    raw = deployed(bus({"jetstream": {"version": "latest"}}))
    assert resources.client_config(raw, "sensor")[0].wire() == raw["status"]["config"]


def test_a_bus_that_is_there_already_is_told_as_it_is() -> None:
    spec = {
        "url": "nats://h:4222",
        "accessSecret": {"name": "a", "key": "b"},
        "tls": {"caCertSecret": {"name": "c", "key": "d"}},
    }
    raw = bus(
        {"jetstreamExotic": spec},
        config={"jetstream": spec},
        conditions=[{"type": "Deployed", "status": "True", "observedGeneration": 1}],
    )
    config, mounts = resources.client_config(raw, "source")
    assert config.wire() == {"jetstream": spec}
    assert [ref.name for ref in mounts] == ["a", "c"]
