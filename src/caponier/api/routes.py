"""The control API's routes: JSON over HTTP on a UNIX socket that only its owner can open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from caponier.api import convert, schema
from caponier.daemon.config import InvalidConfiguration
from caponier.daemon.daemon import Daemon, TookTooLong, UnknownName
from caponier.errors import CaponierError, MisuseError

MAX_BODY = 65_536  #: octets of a request
LONGEST_WAIT = 600.0  #: seconds

Handler = Callable[[Request], Awaitable[Response]]


class BadRequest(MisuseError):
    """What was asked makes no sense."""


def application(daemon: Daemon) -> Starlette:
    """The API of a running daemon."""
    api = _Api(daemon)
    return Starlette(
        routes=[
            Route("/v1/version", api.version),
            Route("/v1/status", api.status),
            Route("/v1/events", api.events),
            Route("/v1/up", api.up, methods=["POST"]),
            Route("/v1/down", api.down, methods=["POST"]),
            Route("/v1/rekey", api.rekey, methods=["POST"]),
            Route("/v1/reload", api.reload, methods=["POST"]),
        ],
        exception_handlers={CaponierError: _refusal, Exception: _refusal},
    )


class _Api:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def version(self, request: Request) -> Response:
        del request
        return _json(convert.version())

    async def status(self, request: Request) -> Response:
        del request
        return _json(convert.status(self._daemon.snapshot()))

    async def events(self, request: Request) -> Response:
        """One JSON object for each line: the history, then what happens, until the watcher goes."""
        del request

        async def lines() -> AsyncIterator[str]:
            async for happening in self._daemon.journal.watch():
                yield convert.happening(happening).model_dump_json() + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def up(self, request: Request) -> Response:
        asked = await _asked(request)
        await self._daemon.up(asked.connection, asked.child, min(asked.seconds, LONGEST_WAIT))
        return _json(schema.Done())

    async def down(self, request: Request) -> Response:
        asked = await _asked(request)
        await self._daemon.down(asked.connection, asked.child, min(asked.seconds, LONGEST_WAIT))
        return _json(schema.Done())

    async def rekey(self, request: Request) -> Response:
        asked = await _asked(request)
        seconds = min(asked.seconds, LONGEST_WAIT)
        if asked.ike:
            await self._daemon.rekey_ike(asked.connection, seconds)
        else:
            await self._daemon.rekey(asked.connection, asked.child, seconds)
        return _json(schema.Done())

    async def reload(self, request: Request) -> Response:
        del request
        return _json(schema.Done(text=self._daemon.reload()))


async def _asked(request: Request) -> schema.Request:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise BadRequest(f"the request is longer than {MAX_BODY} octets")
    try:
        return schema.Request.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        what = ".".join(map(str, first["loc"])) or "it"
        raise BadRequest(f"the request makes no sense: {what}: {first['msg']}") from None


def _json(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, media_type="application/json")


async def _refusal(request: Request, error: Exception) -> Response:
    """Any error of ours, as a problem with a fitting status code."""
    del request
    if not isinstance(error, CaponierError):
        return JSONResponse({"kind": "InternalError", "message": "a bug of ours; see the log"}, 500)
    match error:
        case BadRequest():
            code = 400
        case UnknownName():
            code = 404
        case TookTooLong():
            code = 504
        case InvalidConfiguration():
            code = 422
        case _:
            code = 409
    return _json(convert.problem(error), code)
