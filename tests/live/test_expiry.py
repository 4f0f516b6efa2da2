"""Credentials that expire and are withdrawn, on our Daphne, stock Daphne and uvicorn."""

import asyncio
import json
import time
from typing import Any

import jwt

from .project.api import AUDIENCE
from .project.settings import SECRET_KEY
from .server import Server, check_echo, close_of, connected


def token_for(seconds: float, **claims: Any) -> str:
    valid = {"sub": "7", "aud": AUDIENCE, "exp": int(time.time() + seconds)}
    return jwt.encode({**valid, **claims}, SECRET_KEY, algorithm="HS256")


async def test_a_token_of_two_seconds(server: Server) -> None:
    token = token_for(2)
    expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]
    async with connected(server, f"/private/stays?token={token}") as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        assert await close_of(client) == server.kind.close(4401, "token expired")
    assert 0 <= time.time() - expires_at < 2.5
    await check_echo(server)
    server.check_log()


async def test_a_token_of_two_seconds_and_a_blocking_handler(server: Server) -> None:
    async with connected(server, f"/private/stays-blocking?token={token_for(2)}") as client:
        assert await close_of(client) == server.kind.close(4401, "token expired")
    server.check_log()


async def test_a_new_token_in_time(server: Server) -> None:
    async with connected(server, f"/private/stays?token={token_for(2)}") as client:
        await client.send(json.dumps({"token": "bad"}))
        assert await client.recv() == "authentication_failed"
        await client.send(json.dumps({"token": token_for(60, sub="8")}))
        assert await client.recv() == "another_user"
        await client.send(json.dumps({"token": token_for(60)}))
        assert await client.recv() == "renewed"
        await asyncio.sleep(3.5)
        await client.send("still here")
        assert await client.recv() == "still here"
    server.check_log()


async def test_a_user_is_disconnected_by_a_page(server: Server) -> None:
    async with (
        connected(server, f"/private/stays?token={token_for(60, sub='leaver')}") as leaver,
        connected(server, f"/private/stays?token={token_for(60, sub='stayer')}") as stayer,
    ):
        for client in (leaver, stayer):
            await client.send("hello")
            assert await client.recv() == "hello"
        assert await get(server, "/disconnect/leaver/") == b"1"
        assert await close_of(leaver) == server.kind.close(4401, "logged out")
        await stayer.send("still here")
        assert await stayer.recv() == "still here"
    assert await get(server, "/disconnect/leaver/") == b"0"
    server.check_log()


async def get(server: Server, path: str) -> bytes:
    """Return the body of a page."""
    host, _, port = server.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(10):
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")
    headers, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in headers.lower():
        body = body.split(b"\r\n")[1]
    return body
