"""Secrets of a bus: made once; one that is lost comes back from the others; a key is never made over stored data."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from eventbus import secret_data, server_config
from eventbus.secret_data import Data, Known, Names
from events.errors import UserError

NOW = datetime(2026, 7, 1, tzinfo=UTC)
NAMES = Names("default", "argo")
# As Argo Events writes it.
UPSTREAM_AUTH = """
accounts: { js: { jetstream: true, users: [ { user: Ab12cd34, password: "pw1234567890abcd" } ] }
  sys: { users: [ { user: sys, password: systempassword1234567890 } ] } }
"""


@pytest.fixture(scope="module")
def made() -> dict[str, Data]:
    return secret_data.ensured(NAMES, Known(), NOW)


def again(secrets: dict[str, Data], **more: object) -> dict[str, Data]:
    return secret_data.ensured(NAMES, Known(secrets, **more), NOW)  # type: ignore[arg-type]


def test_everything_is_kept_when_everything_is_there(made: dict[str, Data]) -> None:
    assert again(made, has_volumes=True) == made


@pytest.mark.parametrize("lost", NAMES.secrets)
def test_one_that_is_lost_is_what_it_was(made: dict[str, Data], lost: str) -> None:
    assert again({name: data for name, data in made.items() if name != lost}, has_volumes=True) == made


def test_with_the_servers_own_and_its_copy_lost_clients_keep_their_credentials(made: dict[str, Data]) -> None:
    clients = {name: data for name, data in made.items() if name not in (NAMES.server, NAMES.backup)}
    found = again(clients)
    assert {name: found[name] for name in clients} == clients
    users = server_config.users(found[NAMES.server]["auth"])
    full, password = secret_data.credentials(made[NAMES.client])
    assert users[full] == password
    assert found[NAMES.server]["encryption"] != made[NAMES.server]["encryption"]


def test_the_key_of_stored_data_is_not_made_anew(made: dict[str, Data]) -> None:
    clients = {name: data for name, data in made.items() if name not in (NAMES.server, NAMES.backup)}
    with pytest.raises(UserError) as caught:
        again(clients, has_volumes=True)
    assert NAMES.backup in str(caught.value)
    assert "delete the volume claims" in caught.value.cure


def test_what_argo_events_made_stays_and_gets_users_for_the_roles() -> None:
    server = {"auth": UPSTREAM_AUTH, "encryption": "abcdefghijkl"}
    client = {"client-auth": "username: Ab12cd34\npassword: pw1234567890abcd\n"}
    config = 'jetstream {\n  key: "$JS_KEY"\n'
    found = again({NAMES.server: server, NAMES.client: client}, server_config=config, has_volumes=True)
    assert found[NAMES.client] == client
    assert found[NAMES.server]["encryption"] == "abcdefghijkl"
    users = server_config.users(found[NAMES.server]["auth"])
    assert users["Ab12cd34"] == "pw1234567890abcd"
    assert users["sys"] == "systempassword1234567890"
    assert {"source", "sensor"} < users.keys()
    # Its data is stored under the text "$JS_KEY", whatever the Secret says: it could not be read otherwise.
    assert secret_data.key_of(found[NAMES.server]) == '"$JS_KEY"'
    assert again({NAMES.server: found[NAMES.server]}, has_volumes=True)[NAMES.server] == found[NAMES.server]


def test_with_secrets_of_argo_events_lost_its_data_can_still_be_read() -> None:
    found = again({}, server_config='key: "$JS_KEY"', has_volumes=True)
    assert secret_data.key_of(found[NAMES.server]) == '"$JS_KEY"'


def test_a_new_bus_is_encrypted_with_the_key_and_not_with_its_name(made: dict[str, Data]) -> None:
    assert secret_data.key_of(made[NAMES.server]) == "$JS_KEY"
    assert made[NAMES.server]["encryption"][0].isalpha(), "nats-server would take it for a number"
    assert len(made[NAMES.server]["encryption"]) == 32


def test_credentials_that_no_server_could_be_told_are_replaced() -> None:
    found = again({NAMES.client: {"client-auth": 'username: a"}\npassword: b\n'}})
    user, password = secret_data.credentials(found[NAMES.client])
    assert server_config.users(found[NAMES.server]["auth"])[user] == password


def test_each_user_has_a_password_of_its_own(made: dict[str, Data]) -> None:
    passwords = server_config.users(made[NAMES.server]["auth"])
    assert len(passwords) == 4
    assert len(set(passwords.values())) == 4
