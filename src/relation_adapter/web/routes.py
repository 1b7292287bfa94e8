"""The doors beside the page: is it ready, and a visit's files."""

from __future__ import annotations

import asyncio
import re
import secrets

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

import relation_adapter
from relation_adapter.web.api import Api, refused
from relation_adapter.web.exports import write_zip
from relation_adapter.web.studio import Studio

# What a visit's folder serves: views, results, relations. Uploads themselves are not among them.
FILES = re.compile(r"[a-f0-9]{12}(\.view\.jpg|\.png)|relation-\d+\.safetensors")
PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


def routes(studio: Studio) -> list[Route]:
    """All of them."""
    doors = Doors(studio)
    return [
        Route("/health", doors.health),
        Route("/api/edit", Api(studio).edit, methods=["POST"]),
        Route("/visit/{token}/{number:int}.zip", doors.archive),
        Route("/visit/{token}/{name}", doors.file),
    ]


class Doors:
    """What each route answers."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    async def health(self, _: Request) -> Response:
        """Ready as soon as it answers: the model is loaded before."""
        turns = self.studio.turns
        answer = {"ready": True, "model": self.studio.model, "version": relation_adapter.__version__}
        return JSONResponse(answer | {"queue": turns.edits, "queue_limit": turns.max_edits})

    async def file(self, request: Request) -> Response:
        """A view, a result or a relation of a visit."""
        visit, name = self.studio.visits.by_token(request.path_params["token"]), request.path_params["name"]
        if visit is None or not FILES.fullmatch(name) or not (visit.folder / name).is_file():
            return refused(404, "there is no such file, or its visit is over")
        return FileResponse(visit.folder / name, headers=PRIVATE)

    async def archive(self, request: Request) -> Response:
        """All results of an edit, packed when they are asked for."""
        visit = self.studio.visits.by_token(request.path_params["token"])
        entry = None if visit is None else visit.entry(request.path_params["number"])
        if visit is None or entry is None or not entry.results:
            return refused(404, "there is no such edit, or its visit is over")
        path = visit.folder / f"{secrets.token_hex(6)}.zip"
        await asyncio.to_thread(write_zip, entry, self.studio.model, path)
        packed = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, filename=f"edit-{entry.number}.zip", headers=PRIVATE, background=packed)
