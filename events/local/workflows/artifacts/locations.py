"""Where an artifact lies: a key of a bucket, or of the local store. Contract: workflows I.6. Pure.

A *repository* is what artifacts without a bucket of their own belong to: the object of a key of the ConfigMap
`artifact-repositories`. An empty one is the local store, whose keys are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from events.local.workflows.errors import WorkflowError

Object = dict[str, Any]
Fields = Mapping[str, Any]
CONFIG_MAP = "artifact-repositories"
DEFAULT_KEY = "workflows.argoproj.io/default-artifact-repository"
_KEY_FORMAT = "{{workflow.name}}/{{pod.name}}"
_OTHERS: Mapping[str, str] = {
    "gcs": "use s3 with endpoint: storage.googleapis.com and HMAC keys",
    "oss": "use s3 with the S3 endpoint of the region",
    "azure": "use s3 and a gateway before the container",
    "hdfs": "use s3",
    "artifactory": "as a repository; use s3, or give artifacts an artifactory.url of their own",
    "plugin": "use s3",
}


@dataclass(frozen=True)
class Secret:
    """A key of a Secret in the Workflow's namespace."""

    name: str
    key: str


@dataclass(frozen=True)
class Bucket:
    """A bucket and the way to it, as an `s3` location writes it; without keys, as the environment says."""

    name: str
    endpoint: str = ""
    region: str = ""
    insecure: bool = False
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    authority: Secret | None = None
    role: str = ""
    creates: bool = False
    encryption: str = ""
    """Of the server: empty, `AES256` or `aws:kms`."""
    encryption_key: str = ""

    def __str__(self) -> str:
        return f"bucket '{self.name}' at {self.endpoint or 'AWS'}"


@dataclass(frozen=True)
class Web:
    """A URL that is got and put, with who asks."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    user: Secret | None = None
    password: Secret | None = None


@dataclass(frozen=True)
class Location:
    """A key of a bucket, or a URL; without either, a key of the local store."""

    key: str
    bucket: Bucket | None = None
    web: Web | None = None

    @property
    def is_local(self) -> bool:
        """Whether pods reach it by themselves."""
        return self.bucket is None and self.web is None

    def __str__(self) -> str:
        return self.web.url if self.web else f"key '{self.key}' of {self.bucket or 'the local store'}"


def bucket_of(fields: Fields) -> Bucket | None:
    """The bucket of an `s3` location, None where it names none. WorkflowError for what is not available."""
    name = str(fields.get("bucket") or "")
    if not name:
        return None
    encryption = fields.get("encryptionOptions") or {}
    if encryption.get("serverSideCustomerKeySecret"):
        raise WorkflowError(f"bucket '{name}': encryption with a customer's key is not available here; use kmsKeyId")
    wanted = bool(encryption.get("enableEncryption"))
    key = str(encryption.get("kmsKeyId") or "")
    return Bucket(
        name,
        str(fields.get("endpoint") or "").removeprefix("https://").removeprefix("http://").rstrip("/"),
        str(fields.get("region") or ""),
        bool(fields.get("insecure")),
        None if fields.get("useSDKCreds") else _secret(fields.get("accessKeySecret")),
        None if fields.get("useSDKCreds") else _secret(fields.get("secretKeySecret")),
        _secret(fields.get("sessionTokenSecret")),
        _secret(fields.get("caSecret")),
        str(fields.get("roleARN") or ""),
        fields.get("createBucketIfNotPresent") is not None,
        ("aws:kms" if key else "AES256") if wanted else "",
        key if wanted else "",
    )


def _secret(fields: Fields | None) -> Secret | None:
    return Secret(str(fields.get("name", "")), str(fields.get("key", ""))) if fields else None


def web_of(artifact: Fields) -> Web | None:
    """The URL of an `http` or `artifactory` location. WorkflowError for a way to log in that is not available."""
    fields = artifact.get("http") or artifact.get("artifactory") or {}
    if not fields.get("url"):
        return None
    auth = fields.get("auth") or {}
    for way in ("oauth2", "clientCert"):
        if auth.get(way):
            raise WorkflowError(
                f"artifact {artifact.get('name', '')}: http.auth.{way} is not available here; use basicAuth"
            )
    basic = {**fields, **(auth.get("basicAuth") or {})}
    return Web(
        str(fields["url"]),
        tuple((str(one.get("name", "")), str(one.get("value", ""))) for one in fields.get("headers") or ()),
        _secret(basic.get("usernameSecret")),
        _secret(basic.get("passwordSecret")),
    )


# --- repositories


def repository(reference: Fields | None, config_maps: Mapping[str, Fields], default: Fields) -> Object:
    """What `status.artifactRepositoryRef` says: the repository that a Workflow uses, empty for the local store.

    WorkflowError when one is asked for by name that is not there.
    """
    reference = reference or {}
    name = str(reference.get("configMap") or CONFIG_MAP)
    found = config_maps.get(name)
    if found is None:
        if reference:
            raise _unresolved(f"there is no ConfigMap '{name}'", name)
        return {"default": True, "artifactRepository": dict(default)} if default else {}
    meta, data = found.get("metadata") or {}, found.get("data") or {}
    key = str(reference.get("key") or (meta.get("annotations") or {}).get(DEFAULT_KEY) or "")
    if not key and not reference:
        return {"default": True, "artifactRepository": dict(default)} if default else {}
    if key not in data:
        raise _unresolved(f"ConfigMap '{name}' has no key '{key}'", name)
    shown = {"configMap": name, "key": key, "namespace": meta.get("namespace", "")}
    return {**shown, "artifactRepository": parsed(data[key], f"ConfigMap '{name}', key '{key}'")}


def _unresolved(what: str, name: str) -> WorkflowError:
    cure = f"create it, or name another one in spec.artifactRepositoryRef (default: {CONFIG_MAP})"
    return WorkflowError(f"failed to resolve artifact repository: {what}", cure=cure if name else "")


def parsed(text: Any, where: str) -> Object:
    """The repository that a text describes."""
    try:
        found = yaml.safe_load(str(text))
    except yaml.YAMLError as error:
        raise WorkflowError(f"{where} is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise WorkflowError(f"{where} is no artifact repository")
    return found


def archive_location(template: Fields, found: Fields, *, archives_logs: bool | None) -> Object:
    """`archiveLocation` of a template: where what it leaves goes, and whether its logs do; variables are still in."""
    own = template.get("archiveLocation") or {}
    base = found if not (own.get("s3") or {}).get("bucket") and not _other(own) else own
    kept: Object = {key: value for key, value in base.items() if key in ("s3", *_OTHERS)}
    if not _other(base):
        fields = dict(base.get("s3") or {})
        prefix = fields.pop("keyPrefix", "")
        key = fields.pop("keyFormat", "") or (f"{prefix}/{_KEY_FORMAT}" if prefix else _KEY_FORMAT)
        kept["s3"] = {**fields, "key": (own.get("s3") or {}).get("key") or key}
    logs = bool(found.get("archiveLogs"))
    if not logs:
        logs = bool(archives_logs)
        if own.get("archiveLogs") is not None:
            logs = bool(own["archiveLogs"])
    return {**kept, "archiveLogs": logs}


def _other(fields: Fields) -> str:
    return next((kind for kind in _OTHERS if fields.get(kind) is not None), "")


def refuse(artifact: Fields, what: str) -> None:
    """WorkflowError for a kind of storage that there is no client of."""
    kind = _other(artifact)
    if kind:
        name = f" {artifact['name']}" if artifact.get("name") else ""
        raise WorkflowError(f"{what}{name}: artifacts of {kind} are not available here; {_OTHERS[kind]}")


# --- artifacts


def of_input(artifact: Fields, place: Fields) -> Location | None:
    """Where an input comes from; None for one that is in no store. `place` is archiveLocation."""
    if web := web_of(artifact):
        return Location(_last(web), web=web)
    refuse(artifact, "input artifact")
    fields = artifact.get("s3") or {}
    if not fields.get("key"):
        return None
    return located(fields, place)


def located(fields: Fields, place: Fields) -> Location:
    """The location that an `s3` of a status or spec means."""
    own = bucket_of(fields)
    if own is None:
        refuse({kind: value for kind, value in place.items() if kind in _OTHERS}, "the artifact repository")
        own = bucket_of(place.get("s3") or {})
    return Location(str(fields["key"]), own)


def of_output(artifact: Fields, place: Fields) -> Location:
    """Where an output goes."""
    if web := web_of(artifact):
        return Location(_last(web), web=web)
    refuse(artifact, "output artifact")
    fields = dict(artifact.get("s3") or {})
    if not fields.get("key"):
        fields["key"] = f"{prefix_of(place)}/{file_name(artifact)}"
    return located(fields, place)


def _last(web: Web) -> str:
    return PurePosixPath(web.url.partition("?")[0]).name


def prefix_of(place: Fields) -> str:
    """What keys begin with that nobody chose."""
    return str((place.get("s3") or {}).get("key") or "").rstrip("/")


def file_name(artifact: Fields) -> str:
    """The last part of the key that an output gets."""
    archive = artifact.get("archive") or {}
    if archive.get("none") is not None:
        return PurePosixPath(str(artifact["path"])).name
    return f"{artifact['name']}.zip" if archive.get("zip") is not None else f"{artifact['name']}.tgz"


def stored(artifact: Fields, location: Location) -> Object:
    """The output artifact as the status has it: its key alone, where its bucket is the repository's."""
    names = ("name", "path", "globalName", "archive", "artifactGC")
    kept = {name: artifact[name] for name in names if name in artifact}
    if location.web is not None:
        return kept | {kind: artifact[kind] for kind in ("http", "artifactory") if artifact.get(kind)}
    fields = artifact.get("s3") or {}
    return {**kept, "s3": {**(fields if fields.get("bucket") else {}), "key": location.key}}
