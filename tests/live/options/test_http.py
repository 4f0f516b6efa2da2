"""Django's pages through Daphne: the same bytes whoever speaks its WebSockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import django.contrib.admin
import pytest

from tests.live.server import STOPPED_WITHIN, Server, connected

from .conftest import KINDS, Servers, environment, running
from .prepare import PASSWORD, USERNAME
from .raw import (
    CLOSE,
    TEXT,
    Frame,
    Response,
    answers,
    chunks,
    comparable,
    fetch,
    frame,
    frames,
    handshake,
    opened,
    read_response,
    request,
)
from .views import BIG

CSS = Path(django.contrib.admin.__file__).parent / "static/admin/css/base.css"
LAST = "Connection: close"
DISALLOWED_HOST = (
    "django.core.exceptions.DisallowedHost: Invalid HTTP_HOST header: 'elsewhere'. "
    "You may need to add 'elsewhere' to ALLOWED_HOSTS."
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Servers]:
    kinds = {("http", whose): kind for whose, kind in KINDS.items()}
    directory = tmp_path_factory.mktemp("http")
    with running(kinds, directory, environment(database)) as servers:
        yield servers


@pytest.fixture
def server(servers: Servers, whose: str) -> Iterator[Server]:
    yield servers["http", whose]
    servers["http", whose].check_log()


async def same(servers: Servers, ask: Callable[[Server], Awaitable[bytes]]) -> bytes:
    """Ask ours and stock, see that they answer the same, and return that."""
    ours, stock = await asyncio.gather(*(ask(servers["http", whose]) for whose in KINDS))
    assert comparable(ours) == comparable(stock)
    return ours


REQUESTS: dict[str, tuple[bytes, bytes]] = {
    "a page": (request("/page/?a=1", LAST), rb"200 OK.+a page, http, 127\.0\.0\.1"),
    "the login": (request("/admin/login/", LAST), rb"200 OK.+Django site admin"),
    "a redirect": (request("/admin/", LAST), rb"302 Found.+Location: /admin/login/"),
    "a slash": (request("/page", LAST), rb"301 "),
    "HEAD": (request("/page/", LAST, method="HEAD"), rb"200 OK.+Content-Length: \d\d"),
    "HEAD of a file": (request("/static/admin/css/base.css", LAST, method="HEAD"), rb"200 OK"),
    "no page": (request("/nowhere/", LAST), rb"404 Not Found.+Not Found"),
    "no file": (request("/static/nothing.css", LAST), rb"404 Not Found"),
    "POST without a token": (request("/admin/login/", LAST, method="POST", body=b"a=1"), rb"403 "),
    "a bad name": (request("/page/", "Na me: 1", LAST), rb"400 "),
    "a bad value": (request("/page/", "Name: \x0b1", LAST), rb"400 "),
    "a bad path": (request("/p\N{LATIN SMALL LETTER A WITH DIAERESIS}ge/", LAST), rb"400 "),
    "no HTTP": (b"hello\r\n\r\n", rb"400 Bad Request"),
    "another upgrade": (request("/page/", "Upgrade: h2c", LAST), rb"200 OK.+a page"),
    "pipelined": (
        request("/page/") + request("/nowhere/") + request("/page/?b", LAST),
        rb"200 OK.+a page.+404 Not Found.+200 OK.+a page",
    ),
    "HTTP/1.0": (b"GET /page/ HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", rb"200 OK.+a page"),
    "HTTP/1.0, kept": (
        b"GET /page/ HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n",
        rb"200 OK.+a page",
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_same_answer(servers: Servers, name: str) -> None:
    data, pattern = REQUESTS[name]
    answer = await same(servers, lambda server: answers(server, data))
    assert re.search(pattern, answer, re.DOTALL), answer


async def test_a_static_file(servers: Servers) -> None:
    async def ask(server: Server) -> bytes:
        response = await fetch(server, "/static/admin/css/base.css")
        assert response.body == CSS.read_bytes()
        since = response.header("Last-Modified")
        again = await fetch(server, "/static/admin/css/base.css", f"If-Modified-Since: {since}")
        assert again.status == 304
        return response.head + response.body + again.head

    await same(servers, ask)


async def test_logging_in(servers: Servers) -> None:
    async def ask(server: Server) -> bytes:
        async with opened(server) as (reader, writer):  # one connection, kept alive

            async def answer(data: bytes) -> Response:
                writer.write(data)
                return await read_response(reader)

            page = await answer(request("/admin/login/"))
            (token,) = re.findall(rb'csrfmiddlewaretoken" value="(\w+)"', page.body)
            (cookie,) = re.findall(rb"Set-Cookie: (csrftoken=\w+)", page.head)
            form = {
                "csrfmiddlewaretoken": token.decode(),
                "username": USERNAME,
                "password": PASSWORD,
                "next": "/admin/",
            }
            login = await answer(
                request(
                    "/admin/login/",
                    f"Cookie: {cookie.decode()}",
                    "Content-Type: application/x-www-form-urlencoded",
                    method="POST",
                    body=urlencode(form).encode(),
                )
            )
            assert (login.status, login.header("Location")) == (302, "/admin/")
            (session,) = re.findall(rb"Set-Cookie: (sessionid=[^;]+)", login.head)
            index = await answer(request("/admin/", f"Cookie: {session.decode()}"))
            assert b"Site administration" in index.body
            return b"".join(page[1:] + login[1:] + index[1:])

    await same(servers, ask)


async def test_a_streamed_response(servers: Servers) -> None:
    async def ask(server: Server) -> bytes:
        async with opened(server) as (reader, writer):
            writer.write(request("/stream/one/", LAST))
            head = await reader.readuntil(b"\r\n\r\n")
            parts = chunks(reader)
            assert await anext(parts) == b"the first part of one"  # and the rest does not exist yet
            assert (await fetch(server, "/go-on/one/")).body == b"going on"
            rest = b"".join([part async for part in parts])
            assert rest == b"x" * 100_000 + b"the last part of one"
            return head + rest

    await same(servers, ask)


async def test_the_reader_of_a_stream_leaves(server: Server) -> None:
    async with opened(server) as (reader, writer):
        writer.write(request("/stream/left/"))
        await reader.readuntil(b"the first part of left")
    await server.logged("the stream left ended")


async def test_a_big_upload(servers: Servers) -> None:
    body = os.urandom(3_000_000)
    expected = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}

    async def ask(server: Server) -> bytes:
        whole = await answers(server, request("/upload/", LAST, method="POST", body=body))
        parts = [body[at : at + 100_000] for at in range(0, len(body), 100_000)]
        chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
        head = request("/upload/", "Transfer-Encoding: chunked", LAST, method="POST")
        in_parts = await answers(server, head + chunked)
        assert json.loads(whole.partition(b"\r\n\r\n")[2]) == expected
        assert json.loads(in_parts.partition(b"\r\n\r\n")[2]) == expected
        return whole + in_parts

    await same(servers, ask)


async def test_an_upload_that_asks_first(servers: Servers) -> None:
    async def ask(server: Server) -> bytes:
        async with opened(server) as (reader, writer):
            head, body = ("Expect: 100-continue", "Content-Length: 4", LAST), b"four"
            writer.write(request("/upload/", *head, method="POST"))
            go_on = await read_response(reader)
            assert go_on.status == 100
            writer.write(body)
            response = await read_response(reader)
            assert json.loads(response.body)["length"] == 4
            return go_on.head + response.head + response.body

    await same(servers, ask)


async def test_a_connection_is_kept(servers: Servers) -> None:
    async def ask(server: Server) -> bytes:
        async with opened(server) as (reader, writer):
            found = b""
            for path in ("/page/", "/nowhere/", "/static/admin/css/base.css"):
                writer.write(request(path))
                response = await read_response(reader)
                found += response.head + response.body
            return found

    assert (await same(servers, ask)).count(b"HTTP/1.1 ") == 3


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
async def test_a_request_and_then_an_upgrade(server: Server, at_once: bool) -> None:
    async with opened(server) as (reader, writer):
        writer.write(request("/page/"))
        if not at_once:
            assert (await read_response(reader)).status == 200
        writer.write(handshake("/echo"))
        if at_once:
            assert (await read_response(reader)).status == 200
        assert (await read_response(reader)).status == 101
        received = frames(reader)
        writer.write(frame(TEXT, b"one") + frame(TEXT, b"two"))
        assert await anext(received) == Frame(TEXT, b"one")
        assert await anext(received) == Frame(TEXT, b"two")
        writer.write(frame(CLOSE, b"\x03\xe8"))
        assert [each async for each in received] == [Frame(CLOSE, b"\x03\xe8")]


async def test_an_upgrade_waits_for_the_answer_before_it(server: Server) -> None:
    async with opened(server) as (reader, writer):
        writer.write(request("/stream/before/") + handshake("/echo"))
        await reader.readuntil(b"\r\n\r\n")
        parts = chunks(reader)
        assert await anext(parts) == b"the first part of before"
        assert (await fetch(server, "/go-on/before/")).status == 200
        assert [part async for part in parts][-1] == b"the last part of before"
        assert (await read_response(reader)).status == 101
        writer.write(frame(TEXT, b"one"))
        assert await anext(frames(reader)) == Frame(TEXT, b"one")


async def test_an_upgrade_while_the_answer_before_it_is_sent(server: Server) -> None:
    async with opened(server) as (reader, writer):
        writer.write(request("/big/") + handshake("/echo/behind"))
        await server.logged("WSCONNECT /echo/behind")  # and nothing is read until then
        assert len((await read_response(reader)).body) == BIG
        assert (await read_response(reader)).status == 101
        received = frames(reader)
        for data in (b"one", b"two"):
            writer.write(frame(TEXT, data))
            assert await anext(received) == Frame(TEXT, data)
        writer.write(frame(CLOSE, b"\x03\xe8"))
        assert [each async for each in received] == [Frame(CLOSE, b"\x03\xe8")]


async def test_pages_and_sockets_side_by_side(server: Server) -> None:
    async with connected(server, "/echo") as client, opened(server) as (reader, writer):
        for number in range(20):
            writer.write(request("/page/"))
            await client.send(str(number))
            assert (await read_response(reader)).status == 200
            assert await client.recv() == str(number)


@pytest.mark.parametrize(
    ("path", "host", "status", "error"),
    [
        ("/broken/", b"127.0.0.1", b"500 Internal Server Error", "RuntimeError: the view broke"),
        ("/outside/breaks/", b"127.0.0.1", b"500 Internal Server Error", "RuntimeError: outside"),
        ("/page/", b"elsewhere", b"400 Bad Request", DISALLOWED_HOST),
    ],
)
async def test_an_exception(
    servers: Servers, path: str, host: bytes, status: bytes, error: str
) -> None:
    async def ask(server: Server) -> bytes:
        found = await answers(server, request(path, LAST).replace(b"127.0.0.1", host))
        await server.failed(error)
        return found

    answer = await same(servers, ask)
    assert answer.startswith(b"HTTP/1.1 " + status)


async def test_requests_are_in_the_access_log(servers: Servers) -> None:
    async def ask(server: Server) -> bytes:
        path = "/page/?token=secret&b=2"
        await fetch(server, path)
        line = r'^127\.0\.0\.1:\d+ - - \[[^]]+\] ("GET /page/\?token=.*)$'
        found = await asyncio.to_thread(server.wait_for, line)
        return found[1].encode()

    assert await same(servers, ask) == b'"GET /page/?token=[redacted]&b=2" 200 23'


async def test_a_stream_at_the_end_of_the_server(servers: Servers) -> None:
    """The last test: it ends the servers."""

    async def ask(server: Server) -> bytes:
        async with opened(server) as (reader, writer):
            writer.write(request("/outside/stays/"))
            await reader.readuntil(b"the first part\r\n")
            if server is servers["http", "stock"]:
                await asyncio.sleep(1.2)  # within a second of an upgrade it forgets to cancel
            server.signal_stop()
            rest = await reader.read()
        await asyncio.to_thread(server.process.wait, STOPPED_WITHIN)
        await server.logged("what stayed has ended")
        return rest

    assert await same(servers, ask) == b""
