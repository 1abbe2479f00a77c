"""The web page and its HTTP API.

Everything it writes lies in one temporary folder that is gone when it ends; it answers only to this machine, and loads
nothing from elsewhere.
"""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from sr_pipeline.errors import UserError
from sr_pipeline.serving.job_queue import BusyError, Job, JobQueue, Models, sentence
from sr_pipeline.serving.scratch import scratch_folder

MAX_BYTES = 40_000_000
"""Largest upload."""

_PAGE = Path(__file__).parent / "page"

_HEADERS = {
    # Nothing from elsewhere, and in no other page's frame.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


_GONE = "This result is gone; enlarge the picture again."

_READING = ["GET", "HEAD"]


def create_app(models: Models) -> FastAPI:
    """The page and what it talks to."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with scratch_folder() as folder:
            app.state.job_queue = JobQueue(folder, models)
            yield
            app.state.job_queue.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    # Another site must not reach it through a name that leads to this machine.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])

    @app.middleware("http")
    async def add_headers(request: Request, call_next: Any) -> Response:
        if _is_of_another_site(request):
            return JSONResponse({"detail": "Requests from other sites are refused."}, 403)
        response: Response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

    def job_queue() -> JobQueue:
        found: JobQueue = app.state.job_queue
        return found

    def job_of(identity: str) -> Job:
        try:
            return job_queue().find(identity)
        except KeyError:
            raise HTTPException(404, _GONE) from None

    @app.api_route("/api/models", methods=_READING)
    def list_models() -> list[dict[str, str]]:
        return models.listed()

    @app.post("/api/jobs")
    async def start(request: Request, name: str = "picture.png", model: str = "", match: bool = False) -> JSONResponse:
        content = await _received(request)
        if not content:
            raise HTTPException(400, "The file is empty.")
        try:
            job = await run_in_threadpool(job_queue().take, name, content, model, match_histogram=match)
        except UserError as error:
            raise HTTPException(503 if isinstance(error, BusyError) else 400, sentence(error)) from None
        return JSONResponse(job.status(job_queue().position(job)), 202)

    @app.api_route("/api/jobs/{identity}", methods=_READING)
    def state(identity: str) -> dict[str, Any]:
        job = job_of(identity)
        return job.status(job_queue().position(job))

    @app.delete("/api/jobs/{identity}")
    def drop(identity: str) -> None:
        job_queue().forget(identity)

    @app.api_route("/api/jobs/{identity}/before", methods=_READING)
    def before(identity: str) -> FileResponse:
        return _JobFile(job_queue(), job_of(identity), "before.png", filename=None)

    @app.api_route("/api/jobs/{identity}/result", methods=_READING)
    def result(identity: str) -> FileResponse:
        job = job_of(identity)
        if job.state != "done":
            raise HTTPException(404, "This picture is not ready.")
        return _JobFile(job_queue(), job, job.target.name, filename=job.target.name)

    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    return app


class _JobFile(FileResponse):
    """A file of a job, which stays until it is sent, even if the job is forgotten meanwhile."""

    def __init__(self, jobs: JobQueue, job: Job, name: str, filename: str | None) -> None:
        super().__init__(job.folder / name, filename=filename, content_disposition_type="inline")
        self._jobs, self._identity = jobs, job.id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, or 404 if the job was forgotten before."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._jobs.reading(self._identity))
            except KeyError:
                await JSONResponse({"detail": _GONE}, 404)(scope, receive, send)
                return
            await super().__call__(scope, receive, send)


def _is_of_another_site(request: Request) -> bool:
    """Whether a page of another site wants something done here: browsers say from where (RFC 6454, section 7)."""
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != request.headers.get("host")
    except ValueError:  # no browser sends that
        return True


async def _received(request: Request) -> bytes:
    """The body of an upload.

    Raises:
        HTTPException: if it is too large, or was broken off.
    """
    content = bytearray()
    try:
        async for part in request.stream():
            content += part
            if len(content) > MAX_BYTES:
                raise HTTPException(413, f"The file is too large; at most {MAX_BYTES // 1_000_000} MB are taken.")
    except ClientDisconnect:
        raise HTTPException(400, "The upload was broken off.") from None
    return bytes(content)
