"""Files of an HDFS folder. Contract: eventsources 3.5."""

from __future__ import annotations

from pydantic import Field

from events import durations
from events.credentials import ConfigMapRef, SecretRef
from events.errors import UserError
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Described, WatchPath, require


class HdfsSpec(WatchPath, Described):
    """Changes of files in a folder of HDFS. Contract: eventsources 3.5."""

    type: str = Field("", description="What happens to files: CREATE, WRITE, REMOVE, RENAME, CHMOD, joined by |.")
    check_interval: str = Field("", description="Pause between two looks, such as 1m; 1m.")
    addresses: list[str] | None = Field(None, description="host:port of the name nodes.")
    hdfs_user: str = Field("", description="User, without Kerberos.")
    krb_cache_secret: SecretRef | None = Field(
        None, alias="krbCCacheSecret", description="Secret with a Kerberos credentials cache."
    )
    krb_keytab_secret: SecretRef | None = Field(None, description="Secret with a Kerberos keytab.")
    krb_username: str = Field("", description="Kerberos user name, with a keytab.")
    krb_realm: str = Field("", description="Kerberos realm, with a keytab.")
    krb_config_config_map: ConfigMapRef | None = Field(None, description="ConfigMap with krb5.conf.")
    krb_service_principal_name: str = Field("", description="Principal of the name nodes, such as hdfs/_HOST.")

    def check(self, problems: Problems) -> None:
        """Contract 3.5."""
        super().check(problems)
        require(problems, type=self.type)
        if self.type and not {"CREATE", "WRITE", "REMOVE", "RENAME", "CHMOD"} & set(self.type.split("|")):
            problems.error("type", f"{self.type!r} has no operation", "such as CREATE|WRITE")
        if self.check_interval:
            try:
                durations.delta(self.check_interval)
            except UserError as error:
                problems.error("checkInterval", error.message, error.cure)
        if not self.addresses:
            problems.error("addresses", "required", "host:port of the name nodes")
        self._check_login(problems)

    def _check_login(self, problems: Problems) -> None:
        has_kerberos = self.krb_cache_secret is not None or self.krb_keytab_secret is not None
        if not (has_kerberos or self.hdfs_user):
            problems.error("hdfsUser", "hdfsUser, krbCCacheSecret or krbKeytabSecret is required")
        if has_kerberos:
            require(
                problems,
                krbConfigConfigMap=self.krb_config_config_map,
                krbServicePrincipalName=self.krb_service_principal_name,
            )
        if self.krb_keytab_secret is not None:
            require(problems, krbUsername=self.krb_username, krbRealm=self.krb_realm)


class HdfsSource(Kind[HdfsSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = HdfsSpec, "hdfs", True

    @classmethod
    def validate(cls, spec: HdfsSpec, problems: Problems) -> None:
        spec.check(problems)
