"""Whatever happens to a credential, a server prints none of it.

Everything that each server prints is read, at the level that they log by default and at the
most talkative one, while handshakes with a credential in each place succeed and fail in each way.
"""

import asyncio
import base64
import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bolt_ws.auth import create_jwt_for_user

from .project.api import AUDIENCE
from .server import DAPHNE, DONE_WITHIN, STOCK_DAPHNE, UVICORN, Kind, Server, connected

APPLICATION = "tests.live.project.leaks:application"

PLACES = (
    "query",
    "encoded query",
    "ticket",
    "header",
    "other header",
    "subprotocol",
    "cookie",
    "path",
)
OUTCOMES = {
    "accepted": "/leaks/echo",
    "accepted with the token": "/leaks/me",
    "refused": "/leaks/staff",
    "rejected by the handler": "/leaks/rejects",
    "an exception that shows it": "/leaks/raises",
    "an exception after accept": "/leaks/raises-after-accept",
    "an exception in a guard": "/leaks/guard",
    "a parameter that does not convert": "/leaks/number",
    "not found": "/nowhere",
}


def talkative(kind: Kind, *options: str) -> Kind:
    """The same server, saying all it can."""
    return dataclasses.replace(
        kind, name=f"{kind.name}-talkative", command=(*kind.command, *options)
    )


KINDS = [
    DAPHNE,
    STOCK_DAPHNE,
    UVICORN,
    talkative(DAPHNE, "-v", "3"),
    talkative(STOCK_DAPHNE, "-v", "3"),
    talkative(UVICORN, "--log-level", "trace"),
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def leaking(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of a project whose handlers show what they can in their exceptions."""
    kind = request.param
    log: Path = tmp_path_factory.mktemp("redaction") / f"{kind}.log"
    environment = {"DJANGO_SETTINGS_MODULE": "tests.live.project.settings"}
    running = Server(kind, APPLICATION, log, environment)
    try:
        yield running
    finally:
        running.kill()


def credential(place: str) -> str:
    """A new credential: a good token where one is taken, else text that looks like nothing."""
    if place in ("ticket", "other header"):
        return secrets.token_urlsafe(24)
    claims = {"aud": AUDIENCE, "jti": secrets.token_hex(8)}
    return create_jwt_for_user(User(pk=7), extra_claims=claims)


def placed(place: str, path: str, secret: str) -> tuple[str, dict[str, str]]:
    """Return the path and the headers of a request with a credential in its place."""
    match place:
        case "query":
            return f"{path}?a=1&token={secret}&n=x", {}
        case "encoded query":
            encoded = "".join(f"%{ord(letter):02x}" for letter in secret)
            return f"{path}?%74oken={encoded}&n=x", {}
        case "ticket":
            return f"{path}?ticket={secret}&n=x", {}
        case "header":
            return f"{path}?n=x", {"Authorization": f"Bearer {secret}"}
        case "other header":
            basic = base64.b64encode(f"u:{secret}".encode()).decode()
            return f"{path}?n=x", {"Authorization": f"Basic {basic}"}
        case "subprotocol":
            return f"{path}?n=x", {"Sec-WebSocket-Protocol": f"leaks.v1, bearer.{secret}"}
        case "cookie":
            return f"{path}?n=x", {"Cookie": f"sessionid={secret}; other={secret}"}
        case _:
            return f"{path}/{secret}?n=x", {}


def forms(secret: str) -> list[str]:
    """What of a credential would let somebody in, or most of it."""
    encoded = "".join(f"%{ord(letter):02x}" for letter in secret)
    basic = base64.b64encode(f"u:{secret}".encode()).decode()
    return [secret, encoded, basic, quote(secret), secret[-16:], *secret.split(".")[:2]]


def check(server: Server, place: str, *used: str) -> None:
    for secret in used:
        for form in forms(secret):
            assert form not in server.log, f"{place}: {form}"


async def is_through(server: Server) -> None:
    """Wait until what came before has been printed: each server logs a connection at once."""
    mark = f"/leaks/echo/{secrets.token_hex(4)}"
    with suppress(InvalidStatus):
        async with connected(server, mark):
            pass
    await server.logged(mark)


@pytest.mark.parametrize("place", PLACES)
async def test_handshakes(leaking: Server, place: str) -> None:
    used = []
    for path in OUTCOMES.values():
        secret = credential(place)
        used.append(secret)
        target, headers = placed(place, path, secret)
        with suppress(InvalidStatus, ConnectionClosed):
            async with connected(leaking, target, additional_headers=headers) as client:
                await client.send("hello")
                await client.recv()
    await is_through(leaking)
    check(leaking, place, *used)


async def spoken(server: Server, *lines: str) -> bytes:
    """Send lines of a request as they are, and return the beginning of the answer."""
    host, port = server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(DONE_WITHIN):
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            return await reader.read(4096)
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


UPGRADE = (
    "Host: 127.0.0.1",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
REQUESTS = {
    "no upgrade": ("GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"),
    "another method": ("POST {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"),
    "another host": ("GET {path} HTTP/1.1", "Host: evil.example", "Connection: close"),
    "no request line": ("{path}",),
    "no HTTP": ("GET {path} NOTHTTP", "Host: 127.0.0.1"),
    "spaces in the path": ("GET {path} x HTTP/1.1", "Host: 127.0.0.1"),
    "bytes that are not ASCII": ("GET {path}\xff HTTP/1.1", *UPGRADE),
    "a broken header": ("GET {path} HTTP/1.1", *UPGRADE, "broken"),
    "no key": ("GET {path} HTTP/1.1", *UPGRADE[:4]),
    "a bad key": ("GET {path} HTTP/1.1", *UPGRADE[:4], "Sec-WebSocket-Key: x"),
    "an old version": ("GET {path} HTTP/1.1", *UPGRADE[:3], "Sec-WebSocket-Version: 1", UPGRADE[4]),
    "another origin": ("GET {path} HTTP/1.1", *UPGRADE, "Origin: https://evil.example"),
    "a broken origin": ("GET {path} HTTP/1.1", *UPGRADE, "Origin: ://["),
    "a bad host": ("GET {path} HTTP/1.1", "Host: evil.example", *UPGRADE[1:]),
    "no host": ("GET {path} HTTP/1.1", *UPGRADE[1:]),
}


@pytest.mark.parametrize("request_name", REQUESTS)
async def test_requests_that_are_no_handshake(leaking: Server, request_name: str) -> None:
    used = []
    for place in PLACES:
        secret = credential(place)
        used.append(secret)
        path, headers = placed(place, "/leaks/me", secret)
        lines = [line.replace("{path}", path) for line in REQUESTS[request_name]]
        if len(lines) > 1:
            lines[1:1] = [f"{name}: {value}" for name, value in headers.items()]
        await spoken(leaking, *lines)
    await is_through(leaking)
    check(leaking, request_name, *used)


async def test_the_log_still_says_what_happened(leaking: Server) -> None:
    secret = credential("query")
    with suppress(InvalidStatus, ConnectionClosed):
        async with connected(leaking, f"/leaks/raises?token={secret}"):
            pass
    await leaking.logged("RuntimeError: the handler has ")
    await spoken(leaking, f"GET /page/?token={secret} HTTP/1.1", *UPGRADE[:1], "Connection: close")
    await leaking.logged("/page/?token=[redacted]")
    assert "A log record was dropped" not in leaking.log
    assert "--- Logging error ---" not in leaking.log
