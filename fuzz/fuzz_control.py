"""The control API: what a client sends to a daemon, and what a daemon may answer to a client."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import MutableMapping
from functools import cache
from typing import Any, cast

from pydantic import ValidationError

from caponier.api import schema
from caponier.api.routes import LONGEST_WAIT, application
from caponier.daemon.daemon import Daemon, UnknownName
from fuzz.telling import require_told

PATHS = ("/v1/up", "/v1/down", "/v1/rekey", "/v1/reload", "/v1/version", "/v1/nothing")
WORDS = (
    '"connection"',
    '"child"',
    '"seconds"',
    '"office"',
    "NaN",
    "Infinity",
    "null",
    "1e308",
    "\\ud800",
    ": ",
    ", ",
    "{",
    "}",
)
ANSWERS = (schema.Problem, schema.Status, schema.Happening, schema.Done, schema.VersionInfo)
Message = MutableMapping[str, Any]


class _Recorder:
    """A daemon that checks what it is asked, and knows one connection."""

    async def up(self, connection: str, child: str | None, seconds: float) -> None:
        assert isinstance(connection, str)
        assert child is None or isinstance(child, str)
        assert math.isfinite(seconds), "a wait without end"
        assert seconds <= LONGEST_WAIT
        if connection != "office":
            raise UnknownName(f"there is no connection {connection!r}")

    down = rekey = up

    async def rekey_ike(self, connection: str, seconds: float) -> None:
        await self.up(connection, None, seconds)

    def reload(self) -> list[str]:
        return ["nothing changed"]


@cache
def _application() -> Any:
    return application(cast("Daemon", _Recorder()))


def seeds() -> dict[str, bytes]:
    """Which path or which answer, and the JSON."""
    request = b'{"connection": "office", "child": "lan", "seconds": 3.5}'
    problem = b'{"kind": "Refused", "message": "no", "hint": null, "line": 7}'
    happening = b'{"when": "2026-06-01T00:00:00Z", "kind": "up", "connection": null, "text": "it is up"}'
    found = {f"request-{number}": bytes((number,)) + request for number in range(len(PATHS))}
    found |= {
        "other": b'\x00{"connection": "else\\u0000where"}',
        "forever": b'\x00{"connection": "office", "seconds": 1e308}',
        "never": b'\x01{"connection": "office", "seconds": NaN}',
        "problem": b"\x80" + problem,
        "status": b"\x81{}",
        "happening": b"\x82" + happening,
        "done": b'\x83{"text": ["a", "b"]}',
    }
    return found


def one(octets: bytes) -> None:
    """A daemon answers in JSON and only does what makes sense; a client takes an answer or refuses it."""
    if not octets:
        return
    kind, body = octets[0], octets[1:]
    if kind & 0x80:
        _answer(kind & 0x7F, body)
    else:
        _request(PATHS[kind % len(PATHS)], body)


def _answer(kind: int, body: bytes) -> None:
    model = ANSWERS[kind % len(ANSWERS)]
    try:
        answer = model.model_validate_json(body)
    except ValidationError as error:
        require_told(error)
        return
    assert model.model_validate_json(answer.model_dump_json()) == answer


def _request(path: str, body: bytes) -> None:
    status, answered = asyncio.run(_ask(path, body))
    if path in PATHS[:4] and status != 405:
        assert isinstance(json.loads(answered), dict)
    assert status in (200, 400, 404, 405, 409, 422, 504), status


async def _ask(path: str, body: bytes) -> tuple[int, bytes]:
    """One request by ASGI, its body in two parts."""
    parts = [body[: len(body) // 2], body[len(body) // 2 :]]
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": parts.pop(0) if parts else b"", "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Message = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if path == "/v1/version" else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
        "server": None,
    }
    await _application()(scope, receive, send)
    octets = b"".join(message.get("body", b"") for message in sent[1:])
    return int(sent[0]["status"]), octets
