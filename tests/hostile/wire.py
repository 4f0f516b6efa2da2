"""One handshake: as an ASGI scope, and as the bytes that a client sends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from tests.live.server import DONE_WITHIN, Server
from tests.support import make_scope

HOST = "testserver"
SITE = f"http://{HOST}"

Headers = list[tuple[bytes, bytes]]


@dataclass
class Attempt:
    """What a client asks with. `path` is as on the wire, percent-encoded."""

    path: str
    query: bytes = b""
    headers: Headers = field(default_factory=list)
    client: str = "203.0.113.7"
    secrets: set[str] = field(default_factory=set)
    """What must not be in a log."""

    def scope(self, *, deny: bool) -> dict[str, Any]:
        """The scope that a server makes of it."""
        offered = [value for name, value in self.headers if name == b"sec-websocket-protocol"]
        names = b",".join(offered).decode("latin-1").split(",") if offered else []
        return make_scope(
            unquote_to_bytes(self.path).decode(errors="replace"),
            query=self.query,
            deny=deny,
            raw_path=self.path.encode(),
            headers=self.headers,
            client=[self.client, 50000],
            subprotocols=[name.strip() for name in names],
        )

    def request(self) -> bytes:
        """The bytes on the wire."""
        target = self.path.encode() + (b"?" + self.query if self.query else b"")
        lines = [
            b"GET " + target + b" HTTP/1.1",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
            *(name + b": " + value for name, value in self.headers),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def at(
    path: str,
    query: str | bytes = b"",
    *headers: tuple[str, str | bytes],
    origin: str | bytes | None = SITE,
    host: str | bytes | None = HOST,
    cookie: str | bytes | None = None,
    client: str = "203.0.113.7",
    secrets: tuple[str, ...] = (),
) -> Attempt:
    """A handshake; None leaves a header out."""
    common = [("Host", host), ("Origin", origin), ("Cookie", cookie)]
    named = [(name, value) for name, value in [*common, *headers] if value is not None]
    return Attempt(
        path,
        query.encode() if isinstance(query, str) else query,
        [(name.lower().encode(), _encoded(value)) for name, value in named],
        client,
        {secret for secret in secrets if len(secret) >= 16},  # shorter ones are no secrets
    )


def with_token(token: str, path: str = "/jwt", **options: Any) -> Attempt:
    """A handshake with a token in the query."""
    return at(path, f"token={token}", secrets=(token,), **options)


def with_headers(path: str, *headers: tuple[str, str | bytes], **options: Any) -> Attempt:
    """A handshake with headers, the values of which are secrets."""
    shown = (value.decode("latin-1") if isinstance(value, bytes) else value for _, value in headers)
    secrets = tuple(value.removeprefix("Bearer ") for value in shown)
    return at(path, b"", *headers, secrets=secrets, **options)


def _encoded(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


@dataclass
class Answer:
    """What came back: the status, then the first text message, then the close's code."""

    status: int
    body: bytes = b""
    text: str | None = None
    code: int | None = None


async def send(server: Server, attempt: Attempt) -> Answer:
    """Send a handshake's very bytes to a server, and read all that it answers."""
    host, _, port = server.address.partition(":")
    async with asyncio.timeout(DONE_WITHIN):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(attempt.request())
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                return Answer(status, await _body(reader, head))
            return await _frames(reader, status)
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return await reader.readexactly(int(line.partition(b":")[2]))
    return b""


async def _frames(reader: asyncio.StreamReader, status: int) -> Answer:
    """Read short unmasked frames up to a close (RFC 6455 section 5.2)."""
    answer = Answer(status)
    while answer.code is None:
        first, length = await reader.readexactly(2)
        payload = await reader.readexactly(length)
        if first == 0x81:
            answer.text = payload.decode()
        elif first == 0x88:
            answer.code = int.from_bytes(payload[:2], "big")
    return answer
