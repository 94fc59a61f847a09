"""What the pod of a resource template runs: the action, with the account of the pod, and the wait for its conditions.

Contract: workflows B.2. `python -m events.local.workflows.resource_pod PLAN`; outputs are left where `handover` looks.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from events.errors import ActionError, KeryxError
from events.kube import objects, patches
from events.kube.api import KubeApi, KubeError, Object, Resource
from events.kube.client import connect
from events.local.workflows import conditions, gotexts, jsonpaths, resource_flags
from events.local.workflows.errors import WorkflowError
from events.local.workflows.handover import POD_UID
from events.local.workflows.resource_flags import Flags
from events.yamls import load_all

T = TypeVar("T")
POLL = 2.0
_MERGES = {"merge": patches.MERGE, "json": patches.JSON, "strategic": patches.STRATEGIC}
_MANAGER = "keryx-workflow"
_PAUSES = (0.5, 1.0, 2.0, 4.0)
_NAMELESS = "Kind and name are both required but at least one of them is missing from the manifest"


async def act(api: KubeApi, plan: Object, pause: float = POLL) -> Object | None:
    """Do the action and wait; the object, or None when there is none. WorkflowError, KubeError when it failed."""
    wanted = plan["resource"]
    text, flags = _text(plan), resource_flags.parsed(wanted.get("flags") or ())
    manifest = _manifest(text, wanted["action"])
    if isinstance(manifest, dict) and wanted.get("setOwnerReference"):
        owners = manifest.setdefault("metadata", {}).setdefault("ownerReferences", [])
        owners.append(plan["owner"])
    found = await _Acting(api, wanted, flags, plan["namespace"]).done(manifest)
    success, failure = wanted.get("successCondition") or "", wanted.get("failureCondition") or ""
    if found is None or not (success or failure):
        return found
    return await _awaited(api, found, success, failure, pause)


def _text(plan: Object) -> str:
    """The manifest, or the artifact that it comes from."""
    resource = plan["resource"]
    name = ((resource.get("manifestFrom") or {}).get("artifact") or {}).get("name")
    if resource.get("manifest") or not name:
        return str(resource.get("manifest") or "")
    for one in (plan["inputs"].get("artifacts")) or ():
        if one["name"] == name and one.get("raw"):
            return str(one["raw"].get("data", ""))
    fetched = (plan.get("fetched") or {}).get(name)
    if fetched is None:
        raise WorkflowError(f"manifestFrom: the artifact {name} is neither raw nor in a store")
    return _read(Path(fetched), name)


def _read(path: Path, name: str) -> str:
    """An artifact that is one file, or a folder with one."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    if len(files) != 1:
        raise WorkflowError(f"manifestFrom: the artifact {name} holds {len(files)} files, and must be one")
    return files[0].read_text(encoding="utf-8")


def _manifest(text: str, action: str) -> Object | list[Any] | None:
    several = [one for one in load_all(text) if one is not None]
    if len(several) > 1:
        raise WorkflowError("a resource template takes one object")
    if not several:
        return None
    if isinstance(several[0], dict) or (action == "patch" and isinstance(several[0], list)):
        found: Object | list[Any] = several[0]
        return found
    raise WorkflowError("the manifest is no object")


class _Acting:
    """One action."""

    def __init__(self, api: KubeApi, wanted: Object, flags: Flags, namespace: str) -> None:
        self._api, self._wanted, self._flags, self._namespace = api, wanted, flags, namespace

    async def done(self, manifest: Object | list[Any] | None) -> Object | None:
        action = self._wanted["action"]
        acts = {"get": self._get, "delete": self._delete, "patch": self._patch}
        if action in acts:
            return await acts[action](manifest)
        if not isinstance(manifest, dict):
            raise WorkflowError(f"{action} takes a manifest here: flags alone are not available for it")
        resource = await self._api.resource(*objects.kind_of(manifest))
        home = self._home(resource, manifest)
        if action == "create":
            return await self._create(resource, manifest, home)
        if action == "replace":
            return await self._replace(resource, manifest, home)
        name = self._name(manifest)
        params = {"fieldManager": self._flags.manager or _MANAGER, "force": "true"}
        return await _again(
            lambda: self._api.patch(resource, name, manifest, content_type=patches.APPLY, namespace=home, params=params)
        )

    def _home(self, resource: Resource, manifest: Any = None) -> str | None:
        if not resource.namespaced:
            return None
        own = (manifest.get("metadata") or {}).get("namespace") if isinstance(manifest, dict) else None
        return str(own or self._flags.namespace or self._namespace)

    def _name(self, manifest: Object) -> str:
        name = (manifest.get("metadata") or {}).get("name")
        if not name or not manifest.get("kind"):
            raise WorkflowError(_NAMELESS)
        return str(name)

    async def _target(self, manifest: Any) -> tuple[Resource, list[str], str | None]:
        """The resource and the names that are meant: of the manifest, else of the flags."""
        if isinstance(manifest, dict) and manifest.get("kind"):
            resource = await self._api.resource(*objects.kind_of(manifest))
            return resource, [self._name(manifest)], self._home(resource, manifest)
        word, names = self._flags.targets()
        resource = await _resource_of(self._api, word)
        return resource, names, self._home(resource)

    async def _create(self, resource: Resource, manifest: Object, home: str | None) -> Object:
        """Once more when no answer came; then what is there already is ours."""
        name, tries = (manifest.get("metadata") or {}).get("name"), 0

        async def create() -> Object:
            nonlocal tries
            tries += 1
            try:
                return await self._api.create(manifest, namespace=home)
            except KubeError as error:
                if error.status != 409 or tries == 1 or not name:
                    raise
                return await self._api.get(resource, str(name), namespace=home)

        return await _again(create)

    async def _replace(self, resource: Resource, manifest: Object, home: str | None) -> Object:
        name = self._name(manifest)
        if self._flags.force:
            await _deleted(self._api, resource, name, home, None)
            return await self._create(resource, manifest, home)
        former = await _again(lambda: self._api.get(resource, name, namespace=home))
        meta = {"resourceVersion": former["metadata"]["resourceVersion"], **manifest["metadata"]}
        return await _again(lambda: self._api.replace({**manifest, "metadata": meta}, namespace=home))

    async def _get(self, manifest: Any) -> Object | None:
        resource, names, home = await self._target(manifest)
        if len(names) != 1:
            raise WorkflowError(_NAMELESS)
        return await _again(lambda: self._api.get(resource, names[0], namespace=home))

    async def _patch(self, manifest: Any) -> Object | None:
        """The manifest is the patch; an object without kind, or a list, goes to what the flags name."""
        resource, names, home = await self._target(manifest)
        body = manifest if manifest is not None else next(iter(load_all(self._flags.patch)), None)
        if len(names) != 1 or body is None:
            raise WorkflowError("patch takes a manifest, and in it or in the flags one object")
        strategy = self._wanted.get("mergeStrategy") or self._flags.type or "strategic"
        if strategy not in _MERGES:
            raise WorkflowError(f"mergeStrategy is {strategy!r}, and must be one of {', '.join(sorted(_MERGES))}")
        if (strategy == "json") != isinstance(body, list):
            raise WorkflowError("mergeStrategy: json takes a list of operations, the others an object")
        return await _again(
            lambda: self._api.patch(
                resource,
                names[0],
                body,
                content_type=_MERGES[strategy],
                namespace=home,
                status=self._flags.subresource == "status",
            )
        )

    async def _delete(self, manifest: Any) -> None:
        """What is not there is as good."""
        resource, names, home = await self._target(manifest)
        flags = self._flags
        if not names and (flags.all or flags.selector or flags.field_selector):
            found = await self._api.list(
                resource, namespace=home, label_selector=flags.selector, field_selector=flags.field_selector
            )
            names = [one["metadata"]["name"] for one in found["items"]]
        elif not names:
            raise WorkflowError("delete takes a manifest, a name, a selector or --all")
        for name in names:
            await _deleted(self._api, resource, name, home, self._options())

    def _options(self) -> Object | None:
        found: Object = {}
        grace = "1" if self._flags.now else self._flags.grace
        if grace and grace != "-1":
            found["gracePeriodSeconds"] = int(grace)
        if self._flags.cascade:
            cascade = {"false": "Orphan", "true": "Background"}.get(self._flags.cascade, self._flags.cascade)
            found["propagationPolicy"] = cascade.capitalize()
        return found or None


async def _deleted(api: KubeApi, resource: Resource, name: str, home: str | None, options: Object | None) -> None:
    async def delete() -> None:
        try:
            await api.delete(resource, name, namespace=home, options=options)
        except KubeError as error:
            if error.status != 404:
                raise

    await _again(delete)


async def _again(call: Callable[[], Awaitable[T]]) -> T:
    """A call, once more when there was no answer or the server has too much to do."""
    for pause in _PAUSES:
        try:
            return await call()
        except ActionError as error:
            if isinstance(error, KubeError) and error.status < 500 and error.status != 429:
                raise
        await asyncio.sleep(pause)
    return await call()


async def _resource_of(api: KubeApi, word: str) -> Resource:
    """`cm`, `deployments.apps` or `things.v1beta1.example.com`."""
    plural, _, group = word.lower().partition(".")
    if plural in resource_flags.WORDS and (not group or resource_flags.WORDS[plural][0].startswith(f"{group}/")):
        return await api.resource(*resource_flags.WORDS[plural])
    versions = ["v1", "v1beta1", "v1alpha1", "v1alpha2", "v2", "v1beta2"] if group else []
    first, _, rest = group.partition(".")
    if re.fullmatch(r"v[0-9]+((alpha|beta)[0-9]+)?", first) and rest:
        versions, group = [first], rest
    for version in versions:
        try:
            return await api.resource_named(f"{group}/{version}", plural)
        except KubeError as error:
            if error.status != 404:
                raise
    cure = "write it with its group, as in certificates.cert-manager.io, or give a manifest"
    raise WorkflowError(f"the server knows no kind {word!r}", cure=cure)


async def _awaited(api: KubeApi, obj: Object, success: str, failure: str, pause: float) -> Object:
    resource = await api.resource(*objects.kind_of(obj))
    meta = obj["metadata"]
    while True:
        try:
            obj = await api.get(resource, meta["name"], namespace=meta.get("namespace"))
        except KubeError as error:
            if error.status == 404:
                raise WorkflowError(f"{objects.describe(obj)} was deleted while it was waited for") from error
            if error.status < 500:
                raise
        else:
            if conditions.judged(obj, success, failure):
                return obj
        await asyncio.sleep(pause)


async def save(outputs: Object, obj: Object | None, folder: Path) -> None:
    """Write the output parameters; without an object they are their defaults, or empty."""
    place = folder / "parameters"
    place.mkdir(parents=True, exist_ok=True)
    for one in outputs.get("parameters") or ():
        source = one.get("valueFrom") or {}
        default = source.get("default")
        if not (source.get("jsonPath") or source.get("jqFilter")):
            continue
        try:
            text = "" if default is None else gotexts.scalar(default)
            if obj is not None and source.get("jsonPath"):
                text = jsonpaths.text_of(obj, source["jsonPath"])
            elif obj is not None:
                text = await _by_filter(obj, source["jqFilter"])
        except (WorkflowError, ValueError) as error:
            if default is None:
                raise WorkflowError(f"output parameter {one['name']}: {error}") from error
        (place / one["name"]).write_text(text, encoding="utf-8")


async def _by_filter(obj: Object, text: str) -> str:
    import jq  # only pods of resource templates need it

    several = jq.compile(text).input_value(obj).all()
    return "\n".join(one if isinstance(one, str) else gotexts.dumps(one) for one in several).strip()


def _plan(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


async def main(path: str) -> int:
    """The pod: 0 when it is done, 1 with the reason on stderr."""
    plan = _plan(path)
    api = await connect()
    try:
        found = await act(api, plan)
        await save(plan["outputs"], found, Path(path).parent / os.environ.get(POD_UID, ""))
        if found is not None:
            sys.stdout.write(f"{objects.describe(found)}\n")
    except KeryxError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        await api.aclose()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
