"""What the servers of a bus read: their configuration, and who may log in. Pure. Contract: sensors E.7, flaw Z9."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from eventbus import roles
from eventbus.roles import Permissions

CERTIFICATES = "/etc/nats-config"
SYSTEM_USER = "sys"
PLAIN_KEY, SECRET_KEY = '"$JS_KEY"', "$JS_KEY"
"""How the key of the data is named. In quotes nats-server takes the text itself for the key, so that what Argo Events
has stored is as good as plain; it could not be read with another key.
"""
_USER = re.compile(r'"?user"?\s*[:=]\s*"?([^"\s,{}]+)"?\s*,\s*"?pass(?:word)?"?\s*[:=]\s*"?([^"\s,{}]+)')
_MAX_FILE_STORE = re.compile(r"^(\s*max_file(?:_store)?\s*[:=]?\s*)\S+", re.MULTILINE)
_STORE_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Cluster:
    """The servers of a bus, as they know each other."""

    name: str
    stateful_set: str
    host: str
    """Of the Service: the pods' names stand before it."""
    servers: int

    def text(self) -> str:
        """The block `cluster`; empty for one server."""
        if self.servers < 3:
            return ""
        routes = ",".join(f"nats://{self.stateful_set}-{index}.{self.host}:6222" for index in range(self.servers))
        return f"""cluster {{
  port: 6222
  name: {self.name}
  routes: [{routes}]
  cluster_advertise: $CLUSTER_ADVERTISE
  connect_retries: 120
  tls {{
    cert_file: "{CERTIFICATES}/cluster-server-cert.pem"
    key_file: "{CERTIFICATES}/cluster-server-key.pem"
    ca_file: "{CERTIFICATES}/cluster-ca-cert.pem"
  }}
}}
"""


def server(cluster: Cluster, *, max_payload: str, settings: str, key: str) -> str:
    """The configuration of every server; `settings` are lines of its jetstream block."""
    return f"""max_payload: {max_payload}
port: 4222
pid_file: "/var/run/nats/nats.pid"
http: 8222
server_name: $POD_NAME
jetstream {{
  key: {key}
  store_dir: "/data/jetstream/store"
  {settings}
}}
{cluster.text()}lame_duck_duration: 30s
include ./auth.conf
"""


def fitting(settings: str, volume: int | None) -> str:
    """`settings` that leave a rest of the volume (of so many bytes) free: a full one ends all of JetStream."""
    if volume is None:
        return settings
    return _MAX_FILE_STORE.sub(lambda found: f"{found[1]}{int(volume * _STORE_SHARE)}", settings)


def auth(users: Mapping[str, str], full: str, namespace: str) -> str:
    """Accounts and TLS. `users` are passwords by name: `full` may do everything, and one of each role its own."""
    lines = [_user(full, users[full])]
    for role in roles.ROLES:
        lines.append(_user(role, users[role], permissions=_permissions(roles.permissions(role, namespace))))
    listed = "\n      ".join(lines)
    return f"""system_account: {SYSTEM_USER}
accounts {{
  js {{
    jetstream: enabled
    users: [
      {listed}
    ]
  }}
  {SYSTEM_USER} {{
    users: [
      {_user(SYSTEM_USER, users[SYSTEM_USER])}
    ]
  }}
}}
tls {{
  cert_file: "{CERTIFICATES}/server-cert.pem"
  key_file: "{CERTIFICATES}/server-key.pem"
  ca_file: "{CERTIFICATES}/ca-cert.pem"
  timeout: 10
}}
"""


def users(text: str) -> dict[str, str]:
    """Passwords by user, of a text that we or Argo Events wrote."""
    return {found[1]: found[2] for found in _USER.finditer(text)}


def _user(name: str, password: str, **more: Any) -> str:
    return orjson.dumps({"user": name, "password": password, **more}).decode()


def _permissions(allowed: Permissions) -> dict[str, Any]:
    publish = {"allow": list(allowed.publish)} | ({"deny": list(allowed.never)} if allowed.never else {})
    return {"publish": publish, "subscribe": {"allow": list(allowed.subscribe)}}
