"""Requests for objects, by verb."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from aiohttp import web

from events.local.apiserver.http import patching, responses, shapes
from events.local.apiserver.http.call import Call
from events.local.apiserver.managed import tracking
from events.local.apiserver.objects import bodies, deleting, errors, hooks, listing, scaling, versions, watching
from events.local.apiserver.objects.operations import Object, Operations, check_place
from events.local.apiserver.objects.options import Options
from events.local.apiserver.resources import SCALE
from events.local.apiserver.status import StatusError

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_FINALIZE = "finalize"


class Objects:
    """The handlers of stored kinds. `closing` is set when the server ends: watches end with it."""

    def __init__(self, operations: Operations, closing: asyncio.Event) -> None:
        self._operations, self._store, self._closing = operations, operations.store, closing
        self._deleting = deleting.Deleting(operations)
        self.verbs: Mapping[str, Handler] = {
            "get": self.get,
            "list": self.list,
            "watch": self.watch,
            "create": self.create,
            "update": self.update,
            "patch": self.patch,
            "delete": self.delete,
            "deletecollection": self.delete_collection,
        }

    # -- reading

    async def get(self, call: Call) -> web.StreamResponse:
        """One object, or its scale."""
        _ = call.form
        listing.parsed_version(call.one("resourceVersion"))
        entry = self._operations.find(call.resource, call.namespace, call.name)
        await self._store.settled()
        if call.subresource == SCALE:
            return call.answer(scaling.read(call.resource, versions.shown(call.resource, entry)))
        return call.answer_entry(entry)

    async def list(self, call: Call) -> web.StreamResponse:
        """A list, a piece of it, or a table."""
        form = call.form
        wanted = listing.wanted(call.resource, call.namespace, "", call.query)
        found = listing.listed(self._store, call.resource, wanted, call.query)
        await self._store.settled()
        body = shapes.of_list(call.resource, found, form, call.one("includeObject"), call.now.timestamp())
        return _listed(body, call)

    async def watch(self, call: Call) -> web.StreamResponse:
        """Events as lines of JSON."""
        form, resource = call.form, call.resource
        # a watch by path may name its object; one by query says it by a field selector
        name = call.name if "/watch/" in call.request.path else ""
        wanted = listing.wanted(resource, call.namespace, name, call.query)
        include = call.one("includeObject")
        shown = shapes.of_events(resource, form, include, time.time)
        key = (form, include, resource) if form.shape != "Table" else object()
        watch = watching.parse(resource, wanted, call.query, key, self._store.version)
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private", "Server": "keryx"}
        )
        response.enable_chunked_encoding()
        responses.warn(response, call.warnings)
        await self._stream(call, response, watch, shown)
        return response

    async def _stream(
        self, call: Call, response: web.StreamResponse, watch: watching.Watch, shown: watching.Shown
    ) -> None:
        pieces: AsyncGenerator[bytes, None] = watching.lines(self._store, watch, shown)
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            first = await anext(pieces)
            await response.prepare(call.request)
            # the headers go out at once, events or not
            await response.write(first or b"")
            while True:
                piece = asyncio.ensure_future(anext(pieces, None))
                await asyncio.wait({piece, closing}, return_when=asyncio.FIRST_COMPLETED)
                if not piece.done():
                    piece.cancel()
                    await asyncio.gather(piece, return_exceptions=True)
                    break
                text = piece.result()
                if text is None:
                    break
                await response.write(text)
            await response.write_eof()
        except ConnectionError:
            pass  # the client has gone; its next watch goes on where this one was
        finally:
            closing.cancel()
            with contextlib.suppress(RuntimeError):
                await pieces.aclose()

    # -- writing

    async def create(self, call: Call) -> web.StreamResponse:
        """POST."""
        _ = call.form
        options = call.options("CreateOptions")
        given, twice = call.parsed()
        it = bodies.decoded_object(call.resource, given, twice, options, call.body)
        made = await self._operations.create(call.resource, call.namespace, it, options)
        return call.answer(made, status=201)

    async def update(self, call: Call) -> web.StreamResponse:
        """PUT."""
        _ = call.form
        options = call.options("UpdateOptions")
        given, twice = call.parsed("Scale" if call.subresource == SCALE else "")
        if call.subresource == SCALE:
            return await self._write_scale(call, options, lambda _: given)
        it = bodies.decoded_object(call.resource, given, twice, options, call.body)
        check_place(call.resource, call.namespace, call.name, it)
        writer = options.writer(call.resource, call.subresource)

        def replaced(old: Object) -> Object:
            new = {**it, "metadata": dict(it["metadata"])}
            if call.subresource == _FINALIZE:
                new = _finalized(old, new)
            return tracking.update(old, new, call.resource.managed, writer)

        where = (call.resource, call.namespace, call.name)
        if self._is_made_by_put(call):
            made = await self._operations.create(call.resource, call.namespace, it, options)
            return call.answer(made, status=201)
        subresource = "" if call.subresource == _FINALIZE else call.subresource
        if call.subresource == _FINALIZE:
            written = await self._operations.finalize(*where, replaced, options)
        else:
            written = await self._operations.change(*where, subresource, replaced, options, is_replacing=True)
        return call.answer(written.object)

    def _is_made_by_put(self, call: Call) -> bool:
        key = (call.resource.group, call.resource.plural)
        if call.subresource or key not in hooks.CREATED_BY_PUT:
            return False
        return self._store.get(call.resource.storage, call.namespace, call.name) is None

    async def patch(self, call: Call) -> web.StreamResponse:
        """PATCH, of four kinds."""
        media = patching.kind_of(call)
        _ = call.form
        options = call.options("PatchOptions", is_apply=media == patching.APPLY)
        where = (call.resource, call.namespace, call.name)
        if call.subresource == SCALE:
            return await self._patch_scale(call, media, options)
        if media == patching.APPLY:
            applied = await self._operations.apply(*where, call.subresource, patching.config(call), options)
            return call.answer(applied.object, status=201 if applied.is_new else 200)
        change = patching.changing(call, media, options)
        written = await self._operations.change(*where, call.subresource, change, options)
        return call.answer(written.object)

    async def _patch_scale(self, call: Call, media: str, options: Options) -> web.StreamResponse:
        if media == patching.APPLY:
            given = patching.config(call)
            return await self._write_scale(call, options, lambda old: {**old, "spec": given.get("spec") or {}})
        applied = patching.applied(call, media)
        return await self._write_scale(call, options, applied)

    async def _write_scale(
        self, call: Call, options: Options, changed: Callable[[Object], Object]
    ) -> web.StreamResponse:
        """Replicas only, by whoever owns them then."""
        resource = call.resource
        writer = scaling.writer(options)

        def change(old: Object) -> Object:
            scale = scaling.owned(resource, old)
            new = scaling.checked(resource, changed(scale), call.name)
            owned = tracking.update(scale, new, scaling.managed(resource.kinds.schemas), writer)
            return scaling.written(resource, old, owned)

        where = (resource, call.namespace, call.name)
        written = await self._operations.change(*where, SCALE, change, options)
        return call.answer(scaling.read(resource, written.object))

    # -- deleting

    async def delete(self, call: Call) -> web.StreamResponse:
        """DELETE of one object."""
        _ = call.form
        wanted = deleting.parse(call.body, call.content_type, call.query)
        options = Options("DeleteOptions", call.entered.user, "", call.now, warnings=call.warnings)
        found = await self._deleting.delete(call.resource, call.namespace, call.name, wanted, options)
        if found.is_gone and not _returns_object(call):
            uid = found.object["metadata"].get("uid", "")
            return call.answer(errors.success(call.resource, call.name, uid))
        is_accepted = not found.is_gone and wanted.orphans is False
        return call.answer(found.object, status=202 if is_accepted else 200)

    async def delete_collection(self, call: Call) -> web.StreamResponse:
        """DELETE of all that are selected; answers what they were."""
        form = call.form
        wanted = deleting.parse(call.body, call.content_type, call.query)
        options = Options("DeleteOptions", call.entered.user, "", call.now, warnings=call.warnings)
        selected = listing.wanted(call.resource, call.namespace, "", call.query)
        found = listing.listed(self._store, call.resource, selected, call.query)
        for entry in found.entries:
            try:
                await self._deleting.delete(call.resource, entry.namespace, entry.name, wanted, options)
            except StatusError as error:
                if error.code != 404:
                    raise
        body = shapes.of_list(call.resource, found, form, call.one("includeObject"), call.now.timestamp())
        return _listed(body, call)


def _listed(body: bytes, call: Call) -> web.Response:
    import orjson

    if call.form.media == "application/json" and not call.is_pretty:
        return responses.of_bytes(body)
    return responses.of_object(orjson.loads(body), call.form, pretty=call.is_pretty)


def _returns_object(call: Call) -> bool:
    return not call.resource.group and call.resource.plural in hooks.RETURNED_WHEN_DELETED


def _finalized(old: Object, new: Object) -> Object:
    """Of a namespace, this endpoint writes the finalizers of its spec alone."""
    finalizers = (new.get("spec") or {}).get("finalizers") or []
    metadata = {**old["metadata"], "resourceVersion": new["metadata"].get("resourceVersion") or ""}
    return {**old, "metadata": metadata, "spec": {"finalizers": finalizers} if finalizers else {}}
