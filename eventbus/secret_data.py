"""What the Secrets of a bus hold: made once, and from then on kept. Contract: sensors E.7, flaws C3 and Z9.

One Secret that is lost is written again from the others: all of the servers' own is in a second one, and clients'
credentials can be read from either side. What cannot be known again, the key of stored data, is made anew only where
nothing is stored.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from eventbus import certificates, roles, server_config
from eventbus.certificates import Chain
from eventbus.server_config import SYSTEM_USER
from events import yamls
from events.errors import UserError

_LETTERS = string.ascii_letters + string.digits
ENCRYPTION, KEY_FORM = "encryption", "encryption-form"
_OURS = "secret"
_SERVER_KEYS = {"key": "private-key", "cert": "cert", "authorities": "ca-cert", "authority_key": "ca-private-key"}
CLIENT_KEY = "client-auth"
Data = dict[str, str]


@dataclass(frozen=True, slots=True)
class Names:
    """What the objects of a bus are called (contract E.7)."""

    bus: str
    namespace: str

    @property
    def base(self) -> str:
        """The StatefulSet, and the beginning of all names."""
        return f"eventbus-{self.bus}-js"

    @property
    def service(self) -> str:
        """The headless Service."""
        return f"{self.base}-svc"

    @property
    def host(self) -> str:
        """The Service as a host."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def config_map(self) -> str:
        """The ConfigMap with the servers' configuration."""
        return f"{self.base}-config"

    @property
    def server(self) -> str:
        """The Secret that the servers read."""
        return f"{self.base}-server"

    @property
    def backup(self) -> str:
        """The same once more, read by nobody else."""
        return f"{self.base}-backup"

    @property
    def client(self) -> str:
        """The Secret of the user that may do everything."""
        return f"{self.base}-client-auth"

    def of(self, role: roles.Role) -> str:
        """The Secret of a role's user."""
        return f"{self.base}-{role}-auth"

    @property
    def secrets(self) -> tuple[str, ...]:
        """All of them, in the order in which they are written."""
        return (self.server, self.backup, self.client, *(self.of(role) for role in roles.ROLES))

    @property
    def volume(self) -> str:
        """The template of the volume claims."""
        return f"{self.base}-vol"


@dataclass(frozen=True, slots=True)
class Known:
    """What there is of a bus already."""

    secrets: Mapping[str, Data] = field(default_factory=dict)
    """Data by name; a Secret that is missing is not in it."""
    server_config: str = ""
    """What the servers read now."""
    has_volumes: bool = False


def ensured(names: Names, known: Known, now: datetime) -> dict[str, Data]:
    """The data of every Secret. Makes keys, which takes a second; UserError when the data's key is lost."""
    server, backup = known.secrets.get(names.server, {}), known.secrets.get(names.backup, {})
    full, users = _users(names, known, server, backup)
    encryption, form = _encryption(names, known, server, backup)
    made = {"auth": server_config.auth(users, full, names.namespace), ENCRYPTION: encryption}
    made |= {KEY_FORM: form} if form else {}
    for prefix, of in (
        ("", certificates.server_names(names.service, names.namespace)),
        ("cluster-", certificates.cluster_names(names.service, names.namespace)),
    ):
        chain = certificates.ensured(_chain(server, prefix) or _chain(backup, prefix), of, now)
        texts = {f"{prefix}{key}": str(getattr(chain, name)) for name, key in _SERVER_KEYS.items()}
        made |= {key: text for key, text in texts.items() if text}
    data = {names.server: made, names.backup: made, names.client: _login(full, users[full])}
    return data | {names.of(role): _login(role, users[role]) for role in roles.ROLES}


def key_of(server: Data) -> str:
    """How the servers' configuration names the key of the data."""
    return server_config.SECRET_KEY if server.get(KEY_FORM) == _OURS else server_config.PLAIN_KEY


def _users(names: Names, known: Known, server: Data, backup: Data) -> tuple[str, dict[str, str]]:
    """The user that may do everything, and all passwords: those that servers know before those that clients know."""
    users: dict[str, str] = {}
    full, password = credentials(known.secrets.get(names.client, {}))
    for text in (server.get("auth", ""), backup.get("auth", "")):
        users = server_config.users(text) | users
    others = [user for user in users if user not in (SYSTEM_USER, *roles.ROLES)]
    if others and full not in others:
        full = others[0]
    elif not full:
        full = _new(8)
    users.setdefault(full, password or _new(16))
    for role in roles.ROLES:
        users.setdefault(role, credentials(known.secrets.get(names.of(role), {}))[1] or _new(24))
    users.setdefault(SYSTEM_USER, _new(24))
    return full, users


def _encryption(names: Names, known: Known, server: Data, backup: Data) -> tuple[str, str]:
    """The key of the data, and whether it is really one: where Argo Events made it, its text is not what is used."""
    for one in (server, backup):
        if one.get(ENCRYPTION):
            return one[ENCRYPTION], one.get(KEY_FORM, "")
    if server_config.PLAIN_KEY in known.server_config:
        return _new(12), ""
    if known.has_volumes:
        raise UserError(
            f"the key of the stored events is lost: neither Secret {names.server} nor {names.backup} has it",
            path=f"{names.server}.{ENCRYPTION}",
            cure="restore one of them, or delete the volume claims of the bus, and with them what is stored",
        )
    # A letter first: nats-server would read digits as a number.
    return f"k{_new(31)}", _OURS


def _chain(data: Data, prefix: str) -> Chain | None:
    """The certificates of a Secret; None when one is missing."""
    found = {name: data.get(f"{prefix}{key}", "") for name, key in _SERVER_KEYS.items()}
    return Chain(**found) if all(found[name] for name in ("key", "cert", "authorities")) else None


def _login(user: str, password: str) -> Data:
    return {CLIENT_KEY: f"username: {user}\npassword: {password}\n"}


def credentials(data: Data) -> tuple[str, str]:
    """User and password of a client's Secret; empty when it has none that servers could be told."""
    try:
        raw = yamls.load_one(data.get(CLIENT_KEY, ""))
    except UserError:
        return "", ""
    found = raw if isinstance(raw, dict) else {}
    user, password = str(found.get("username", "")), str(found.get("password", ""))
    return (user, password) if user.isalnum() and password.isalnum() else ("", "")


def _new(length: int) -> str:
    """Begins with a letter: neither YAML nor nats-server takes it for a number."""
    return secrets.choice(string.ascii_letters) + "".join(secrets.choice(_LETTERS) for _ in range(length - 1))
