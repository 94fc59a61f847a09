"""The controller's configuration: read whatever the case of its keys, and refused with the field that is wrong."""

from __future__ import annotations

import pytest

from eventbus import configuration, stream_config
from eventbus.configuration import Configuration
from events.errors import InvalidObject, UserError

VERSION = "{version: '1', natsImage: i, metricsExporterImage: m, configReloaderImage: r, startCommand: /s}"


def parsed(text: str) -> tuple[Configuration, list[str]]:
    warnings: list[str] = []
    found = configuration.parse(text, lambda problems: warnings.extend(map(str, problems)))
    return found, warnings


def test_what_is_shipped_can_be_read_again_and_bounds_the_stream_in_bytes_alone() -> None:
    shipped = configuration.shipped()
    assert parsed(configuration.text(shipped)) == (shipped, [])
    stream = stream_config.values(shipped.jetstream.stream_config)
    assert (stream["maxmsgs"], stream["maxage"], stream["discard"]) == (-1, "168h", 0)
    assert stream["maxbytes"] > 0
    upstreams = {"2.8.1", "2.8.2", "2.9.1", "2.9.12", "2.9.16", "2.8.1-alpine", "2.8.2-alpine", "2.10.29", "latest"}
    assert upstreams < {one.version for one in shipped.jetstream.versions}


def test_the_case_of_keys_means_nothing_and_unknown_ones_are_warned_of() -> None:
    found, warnings = parsed(f"EVENTBUS: {{JetStream: {{Setting: x, VERSIONS: [{VERSION.lower()}]}}}}")
    assert found.jetstream.version("1").nats_image == "i"
    assert warnings == [
        "eventBus.jetstream.Setting: is not known and has no effect (known are settings, streamConfig, versions)"
    ]


def test_a_version_that_looks_like_a_number_is_a_name() -> None:
    found, _ = parsed(f"eventBus: {{jetstream: {{versions: [{VERSION.replace(chr(39), '')}]}}}}")
    assert found.jetstream.version("1").start_command == "/s"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eventBus: [", "is not YAML"),
        ("eventBus: 1", "eventBus: is not a map"),
        ("eventBus: {jetstream: {versions: []}}", "eventBus.jetstream.versions: at least one version is required"),
        ("eventBus: {jetstream: {versions: {}}}", "eventBus.jetstream.versions: is not a list"),
        ("eventBus: {jetstream: {versions: [{version: a}]}}", "eventBus.jetstream.versions[0].natsImage: required"),
        (f"eventBus: {{jetstream: {{versions: [{VERSION}, {VERSION}]}}}}", "version '1' is there twice"),
        (
            f"eventBus: {{jetstream: {{streamConfig: 'a: [', versions: [{VERSION}]}}}}",
            "eventBus.jetstream.streamConfig",
        ),
        (f"eventBus: {{jetstream: {{Settings: a, settings: b, versions: [{VERSION}]}}}}", "there twice, spelled"),
    ],
)
def test_what_is_wrong_is_said_by_field(text: str, said: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        parsed(text)
    assert said in str(caught.value)


def test_a_version_that_is_not_listed_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError) as caught:
        configuration.shipped().jetstream.version("0.0.1")
    assert "'0.0.1'" in caught.value.message
    assert "latest, 2.14.2" in caught.value.cure


def test_settings_of_a_bus_go_over_the_defaults_whatever_their_case() -> None:
    assert stream_config.merged("maxAge: 1h\nreplicas: 3\n", "MAXAGE: 2h\n") == "maxage: 2h\nreplicas: 3\n"


def test_a_stream_has_no_more_copies_than_servers_and_leaves_room_on_the_volume() -> None:
    text = stream_config.fitting("replicas: 3\nmaxBytes: 10737418240\n", 1, stream_config.size("10Gi"))
    assert text == f"maxbytes: {int((10 << 30) * 0.6)}\nreplicas: 1\n"
    assert stream_config.fitting("maxbytes: -1\nreplicas: 1\n", 3, 1 << 30) == "maxbytes: -1\nreplicas: 1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20Gi", 20 << 30), ("1GB", 1 << 30), ("1.5Ki", 1536), ("7", 7), ("5M", 5_000_000), ("big", None), ("", None)],
)
def test_sizes_are_read_as_kubernetes_and_nats_write_them(text: str, expected: int | None) -> None:
    assert stream_config.size(text) == expected
