"""An edit over HTTP: one multipart form in, a picture, a zip or a relation out. docs/page.md describes it.

It goes through the same queue as the page, and is held to the same limits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response

from relation_adapter.errors import BusyError, PictureError, RelationAdapterError, UsageError
from relation_adapter.web.exports import settings_of, write_zip
from relation_adapter.web.limits import MAX_PAIRS, MAX_RELATIONS
from relation_adapter.web.settings import Settings, read_settings, read_strength
from relation_adapter.web.studio import Studio
from relation_adapter.web.uploads import disk, keep_picture, keep_relation, tidy
from relation_adapter.web.visits import Entry, Kept, Order, Saved, Visit, end

logger = logging.getLogger(__name__)

PICTURES = ("before", "after", "source")
WORDS = ("strength", "steps", "size", "seed", "instruction")
FIELDS = (*PICTURES, "relation", "relation_strength", *WORDS)
LOOK_SECONDS = 0.5  # how often it is looked whether the caller is still there
LONGEST_WORD = 8192  # bytes


def refused(code: int, text: str, after: BackgroundTask | None = None) -> Response:
    """An answer that says in one line what is wrong; 503 asks to come again."""
    headers = {"Retry-After": "30"} if code == 503 else None
    return JSONResponse({"error": text}, code, headers, background=after)


class Api:
    """The door for programs."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    async def edit(self, request: Request) -> Response:
        """Make an edit. What was given and made is gone once it is answered."""
        visit = self.studio.visits.new()
        over = BackgroundTask(end, visit)
        try:
            most = self.studio.limits.sources + 2 * MAX_PAIRS + MAX_RELATIONS
            async with request.form(max_files=most, max_fields=64, max_part_size=LONGEST_WORD) as form:
                order = await asyncio.to_thread(self._order, visit, form)
            entry = visit.begin(order)
            await self._run(request, visit, entry)
            return await self._answer(visit, entry, over)
        except HTTPException as error:
            return refused(error.status_code, str(error.detail), over)
        except ClientDisconnect:
            return refused(400, "hung up before all of it was sent", over)
        except RelationAdapterError as error:
            return refused(503 if isinstance(error, BusyError) else 400, str(error), over)
        except Exception:
            logger.exception("an edit over HTTP failed")
            return refused(500, "this failed here; the log of the server tells why", over)
        except BaseException:
            end(visit)
            raise

    def _order(self, visit: Visit, form: FormData) -> Order:
        """What the form asks for. Raises UsageError, PictureError, WeightsError."""
        if strange := sorted(form.keys() - set(FIELDS)):
            raise UsageError(f"field {strange[0][:40]!r} is not known; there are {', '.join(FIELDS)}")
        settings = self._settings(form)
        before, after, sources, relations = (_files(form, name) for name in (*PICTURES, "relation"))
        _check_counts(len(before), len(after), len(sources), len(relations), self.studio.limits.sources)
        given = form.getlist("relation_strength") or ["1"] * len(relations)
        if len(given) != len(relations):
            raise UsageError(
                f"{len(given)} relation_strength for {len(relations)} relation files; give as many, or none"
            )
        strengths = [read_strength("relation_strength", value) for value in given]
        pairs = [
            (self._picture(visit, one), self._picture(visit, other)) for one, other in zip(before, after, strict=True)
        ]
        saved = [self._relation(visit, file) for file in relations]
        kept = tuple(self._picture(visit, file) for file in sources)
        return Order(tuple(pairs), tuple(zip(saved, strengths, strict=True)), kept, settings)

    def _settings(self, form: FormData) -> Settings:
        words = {name: form.get(name) for name in WORDS}
        if files := [name for name, value in words.items() if isinstance(value, UploadFile)]:
            raise UsageError(f"{files[0]} is a file; give it as text")
        return read_settings(self.studio.pipe.design, words)

    def _picture(self, visit: Visit, file: UploadFile) -> Kept:
        path = self._received(visit, file)
        return keep_picture(visit, path, self.studio.limits, file.filename)

    def _relation(self, visit: Visit, file: UploadFile) -> Saved:
        return keep_relation(visit, self.studio.pipe, self._received(visit, file), file.filename)

    def _received(self, visit: Visit, file: UploadFile) -> Path:
        """The file in the visit's folder, under a name of ours."""
        limits = self.studio.limits
        name = tidy(file.filename or "picture")
        if (file.size or 0) > limits.upload_bytes:
            raise PictureError(f"{name}: more than {limits.upload_mib} MiB, the most for one file here")
        path = visit.folder / f"received-{len(list(visit.folder.iterdir()))}"
        with disk(), path.open("wb") as target:
            shutil.copyfileobj(file.file, target)
        return path

    async def _run(self, request: Request, visit: Visit, entry: Entry) -> None:
        """Make the edits; they stop when the caller goes away. Raises BusyError."""

        async def watch() -> None:
            while not await request.is_disconnected():
                await asyncio.sleep(LOOK_SECONDS)
            visit.stop.set()

        watching = asyncio.create_task(watch())
        try:
            visitor = request.client.host if request.client else "unknown"
            async for _ in self.studio.edit(visitor, visit, entry):
                pass
        finally:
            watching.cancel()

    async def _answer(self, visit: Visit, entry: Entry, over: BackgroundTask) -> Response:
        """A relation where there was no source, a PNG for one source, a zip for several."""
        told = {"X-Settings": json.dumps(settings_of(entry, self.studio.model))}
        if not entry.order.sources and entry.relation is not None:
            return FileResponse(entry.relation, headers=told, filename="relation.safetensors", background=over)
        if not entry.results:
            errors = [f"{entry.order.sources[number].name}: {text}" for number, text in entry.errors.items()]
            return refused(400, errors[0] if errors else "stopped before anything was edited", over)
        if len(entry.order.sources) == 1:
            name = f"{entry.order.sources[0].name}.png"
            return FileResponse(entry.results[0].path, headers=told, filename=name, background=over)
        path = visit.folder / "edit.zip"
        await asyncio.to_thread(write_zip, entry, self.studio.model, path)
        return FileResponse(path, filename="edit.zip", background=over)  # settings.json in it tells the same


def _files(form: FormData, name: str) -> list[UploadFile]:
    values = form.getlist(name)
    if words := [value for value in values if isinstance(value, str)]:
        raise UsageError(f"{name} is text ({words[0][:40]!r}); give the file itself, as curl does with {name}=@FILE")
    return [value for value in values if isinstance(value, UploadFile)]


def _check_counts(before: int, after: int, sources: int, relations: int, most: int) -> None:
    if before != after or before > MAX_PAIRS:
        raise UsageError(f"{before} before and {after} after; give both of each pair, up to {MAX_PAIRS} pairs")
    if relations > MAX_RELATIONS:
        raise UsageError(f"{relations} relation files; give up to {MAX_RELATIONS}")
    if not before and not relations:
        raise UsageError("nothing shows the edit; give before and after, or relation")
    if sources > most or (not sources and not before):
        raise UsageError(f"{sources} source files; give from 1 to {most}")
