"""A project served by our Daphne, stock Daphne and uvicorn, met by a client that is not ours.

After each test the server still serves, and its log holds no token and no error but the expected.
"""

import asyncio
import itertools
import json
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import User

from bolt_ws.auth import create_jwt_for_user

from .conftest import StartServer
from .project.api import AUDIENCE
from .project.settings import SECRET_KEY
from .server import STOCK_DAPHNE, Server, check_echo, close_of, connected, refused

ANOTHER_KEY = "the key of somebody else, long enough for every HS algorithm that there is"


@pytest.fixture(autouse=True)
async def undisturbed(server: Server) -> AsyncIterator[None]:
    yield
    await check_echo(server)
    server.check_log()


def good_token(**claims: Any) -> str:
    user = User(pk=7, is_staff=claims.pop("is_staff", False))
    return create_jwt_for_user(user, extra_claims={"aud": AUDIENCE, **claims})


def token_of(key: str = SECRET_KEY, algorithm: str = "HS256", **claims: Any) -> str:
    valid = {"sub": "7", "exp": int(time.time()) + 60, "aud": AUDIENCE}
    return jwt.encode({**valid, **claims}, key, algorithm=algorithm)


# Messages


async def test_echo_of_text(server: Server) -> None:
    async with connected(server, "/echo/text") as client:
        for text in ("one", "zwei \N{SNOWMAN}", "3" * 100_000):
            await client.send(text)
            assert await client.recv() == text


async def test_echo_of_bytes(server: Server) -> None:
    async with connected(server, "/echo/bytes") as client:
        for data in (b"\x00", bytes(range(256)), b"3" * 100_000):
            await client.send(data)
            assert await client.recv() == data


async def test_echo_of_json(server: Server) -> None:
    async with connected(server, "/echo/json") as client:
        for value in ({"a": [1, 2.5, None, True], "b": {"c": "\N{SNOWMAN}"}}, [], "text", 0):
            await client.send(json.dumps(value))
            answer = await client.recv()
            assert isinstance(answer, str)
            assert json.loads(answer) == value


async def test_many_messages_keep_their_order(server: Server) -> None:
    async with connected(server, "/echo/text") as client:
        for number in range(200):
            await client.send(str(number))
        assert [await client.recv() for _ in range(200)] == [str(each) for each in range(200)]


async def test_connections_are_served_side_by_side(server: Server) -> None:
    async with (
        connected(server, "/echo/text") as first,
        connected(server, "/echo/text") as second,
    ):
        await second.send("second")
        assert await second.recv() == "second"
        await first.send("first")
        assert await first.recv() == "first"


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [("/echo/text", b"\x00", 1003), ("/echo/bytes", "text", 1003), ("/echo/json", "{", 1007)],
)
async def test_a_message_that_was_not_asked_for(
    server: Server, path: str, sent: str | bytes, code: int
) -> None:
    async with connected(server, path) as client:
        await client.send(sent)
        found, _ = await close_of(client)
    assert found == server.kind.close(code)[0]


# The handshake


async def test_path_and_query_parameters(server: Server) -> None:
    async with connected(server, "/room/7?history=20") as client:
        assert json.loads(await client.recv()) == [7, 20]
    async with connected(server, "/room/7") as client:
        assert json.loads(await client.recv()) == [7, 0]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/room/7?history=abc", ["Invalid value 'abc' for parameter 'history': expected int"]),
        ("/room/lobby", ["Invalid value 'lobby' for parameter 'room_id': expected int"]),
        ("/room/lobby?history=1.5", ["'room_id'", "'history'"]),
    ],
)
async def test_parameters_that_do_not_convert(server: Server, path: str, told: list[str]) -> None:
    status, body = await refused(server, path)
    assert status == server.kind.status(422)
    await server.logged("422 invalid_parameters")
    if server.kind.can_deny:
        answer = json.loads(body)
        assert answer["code"] == "invalid_parameters"
        assert all(each in answer["detail"] for each in told)


async def test_a_subprotocol_is_agreed_on(server: Server) -> None:
    async with connected(server, "/subprotocol", subprotocols=["chat.v1", "chat.v2"]) as client:
        assert client.subprotocol == "chat.v2"


unknown_paths = (f"/nowhere/{number}" for number in itertools.count())


async def test_an_unknown_path_is_one_line_in_the_log(server: Server) -> None:
    path = next(unknown_paths)
    status, body = await refused(server, f"{path}?token={good_token()}")
    assert status == server.kind.status(404)
    if server.kind.can_deny:
        assert json.loads(body) == {"detail": "Not found", "code": "not_found"}
    await server.logged(f"Refused '{path}'")
    async with connected(server, "/room/7") as client:  # whatever else there is, is logged by now
        await client.recv()
    lines = [line for line in server.log.splitlines() if path in line]
    assert len([line for line in lines if "Refused" in line]) == 1
    assert all(re.search(r"Refused|WebSocket|WS[A-Z]+ ", line) for line in lines), lines


# Authentication and guards

BAD_TOKENS: dict[str, Callable[[], str]] = {
    "expired": lambda: token_of(exp=int(time.time()) - 60),
    "without an expiry": lambda: jwt.encode({"sub": "7", "aud": AUDIENCE}, SECRET_KEY),
    "forged": lambda: token_of(ANOTHER_KEY),
    "another's payload": lambda: swap_payload(token_of(), token_of(sub="1")),
    "algorithm none": lambda: token_of("", "none"),
    "a foreign algorithm": lambda: token_of(algorithm="HS512"),
    "wrong audience": lambda: token_of(aud="somebody else"),
    "without an audience": lambda: create_jwt_for_user(User(pk=7)),
    "malformed": lambda: "eyJ.eyJ.eyJ",
    "empty": lambda: "",
}


def swap_payload(token: str, other: str) -> str:
    header, _, signature = token.split(".")
    return ".".join([header, other.split(".")[1], signature])


async def check_refused(server: Server, path: str, status: int, code: str, **options: Any) -> None:
    line = f"Refused '{path.partition('?')[0]}'"
    before = server.log.count(line)
    found, body = await refused(server, path, **options)
    assert found == server.kind.status(status)
    if server.kind.can_deny:
        answer = json.loads(body)
        assert answer["code"] == code
        assert answer["detail"]
    await server.logged(line, before + 1)
    assert f"{status} {code}" in server.log[server.log.rindex(line) :]


async def test_without_a_token(server: Server) -> None:
    await check_refused(server, "/private/me", 401, "not_authenticated")


@pytest.mark.parametrize("kind", BAD_TOKENS)
@pytest.mark.parametrize("where", ["query", "header"])
async def test_with_a_bad_token(server: Server, kind: str, where: str) -> None:
    token = BAD_TOKENS[kind]()
    code = "token_expired" if kind == "expired" else "authentication_failed"
    if where == "query":
        await check_refused(server, f"/private/me?token={token}", 401, code)
    else:
        headers = {"Authorization": f"Bearer {token}"}
        await check_refused(server, "/private/me", 401, code, additional_headers=headers)


async def test_with_two_tokens(server: Server) -> None:
    path = f"/private/me?token={good_token()}&token={good_token()}"
    await check_refused(server, path, 401, "authentication_failed")


@pytest.mark.parametrize("where", ["query", "header"])
async def test_with_a_good_token(server: Server, where: str) -> None:
    token = good_token()
    options: dict[str, Any] = {}
    path = "/private/me?a=1"
    if where == "query":
        path += f"&token={token}"
    else:
        options["additional_headers"] = {"authorization": f"bearer {token}"}
    async with connected(server, path, **options) as client:
        answer = json.loads(await client.recv())
    assert answer["user_id"] == "7"
    assert "a=1" in answer["seen"]
    assert "eyJ" not in answer["seen"]
    assert "token" not in answer["seen"]


@pytest.mark.parametrize("path", ["/private/staff", "/private/permission"])
async def test_a_guard_that_fails(server: Server, path: str) -> None:
    await check_refused(server, f"{path}?token={good_token()}", 403, "permission_denied")


async def test_a_guard_that_holds(server: Server) -> None:
    async with connected(server, f"/private/staff?token={good_token(is_staff=True)}") as client:
        assert await client.recv() == "staff"
    token = good_token(permissions=["chat.add_room"])
    async with connected(server, f"/private/permission?token={token}") as client:
        assert await client.recv() == "permission"


async def test_a_guard_that_raises(server: Server) -> None:
    await check_refused(server, "/broken-guard", 500, "internal_error")
    await server.failed("RuntimeError: the guard broke")


# How a connection ends


async def test_the_handler_returns(server: Server) -> None:
    async with connected(server, "/ways-out/returns") as client:
        assert await close_of(client) == (1000, "")


async def test_the_handler_returns_without_accepting(server: Server) -> None:
    # Stock Daphne would leave such a client hanging for 5 seconds, and then drop it.
    status, _ = await refused(server, "/ways-out/never-accepts", open_timeout=4)
    assert status == 403


async def test_the_handler_raises_before_accept(server: Server) -> None:
    status, _ = await refused(server, "/ways-out/raises-before-accept")
    assert status == server.kind.status(500)
    await server.failed("RuntimeError: raised before accept")


async def test_the_handler_raises_after_accept(server: Server) -> None:
    async with connected(server, "/ways-out/raises-after-accept") as client:
        assert await close_of(client) == server.kind.close(1011)
    await server.failed("RuntimeError: raised after accept")


@pytest.mark.parametrize("path", ["/closes-before-accept", "/exception-before-accept"])
async def test_the_handler_closes_before_accept(server: Server, path: str) -> None:
    status, _ = await refused(server, f"/ways-out{path}")
    assert status == 403


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1013, 3000, 4001, 4999])
@pytest.mark.parametrize("way", ["closes", "exception"])
async def test_the_handler_says_the_code(server: Server, way: str, code: int) -> None:
    async with connected(server, f"/ways-out/{way}/{code}") as client:
        assert await close_of(client) == server.kind.close(code, "as asked")


names = (f"test-{number}" for number in itertools.count())


async def end_of(server: Server, name: str) -> int | None:
    async with connected(server, f"/ways-out/end-of/{name}") as client:
        code: int | None = json.loads(await client.recv())
        return code


@pytest.mark.parametrize("code", [1000, 1001, 4321])
async def test_the_client_closes(server: Server, code: int) -> None:
    name = next(names)
    async with connected(server, f"/ways-out/watched/{name}") as client:
        await client.close(code)
    assert await end_of(server, name) == code


async def test_the_client_vanishes(server: Server) -> None:
    name = next(names)
    async with connected(server, f"/ways-out/watched/{name}") as client:
        client.transport.abort()
    assert await end_of(server, name) == server.kind.code_of_vanished


async def test_the_client_vanishes_during_the_handshake(server: Server) -> None:
    host, _, port = server.address.partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /echo/text HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n")
    await writer.drain()
    writer.transport.abort()


async def test_pages_are_served_beside(server: Server) -> None:
    host, _, port = server.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(10):
        writer.write(b"GET /page/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"a page" in answer


# The end of the server


async def test_the_server_stops(server: Server, start_server: StartServer) -> None:
    own = await asyncio.to_thread(start_server, server.kind)
    try:
        async with connected(own, "/ways-out/waits") as client:
            if server.kind is STOCK_DAPHNE:
                # Its shutdown stumbles over a connection that it has not looked at since the
                # upgrade. It looks once a second, and logs then what was raised.
                await refused(own, "/ways-out/raises-before-accept")
                await own.failed("RuntimeError: raised before accept")
            own.signal_stop()
            found, _ = await close_of(client)
        # Stock Daphne says nothing by itself, but cancels the handler, and that closes.
        assert found == server.kind.close(1012)[0]
        await asyncio.to_thread(own.stop)
        assert own.process.returncode != -signal.SIGSEGV
        assert "the waiting handler ended" in own.log
    finally:
        own.kill()
