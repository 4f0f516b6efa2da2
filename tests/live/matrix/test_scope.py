"""What the scope says of a handshake."""

import ast
from typing import Any

import pytest

from tests.live.server import Server

from .differences import expected
from .script import ACCEPT, TELL_SCOPE
from .wire import TLS, Lines, Wire, playing


async def scope_of(wire: Wire) -> dict[str, Any]:
    scope: dict[str, Any] = ast.literal_eval(await wire.read_text())
    return scope


async def asked(server: Server, target: str = "/", headers: Lines = ()) -> dict[str, Any]:
    """The scope of a handshake."""
    async with playing(server, ACCEPT, TELL_SCOPE, target=target, headers=headers) as wire:
        return await scope_of(wire)


async def test_what_is_constant(server: Server) -> None:
    scope = await asked(server)
    constant = ("type", "asgi", "http_version", "scheme", "root_path")
    assert {key: scope.get(key) for key in constant} == expected(
        server.kind,
        "scope",
        {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "wss" if server.kind.name == TLS else "ws",
            "root_path": "",
        },
    )


async def test_extensions(server: Server) -> None:
    scope = await asked(server)
    right = ["bolt_ws.end", "bolt_ws.prepared", "websocket.http.response"]
    assert scope.get("extensions") == expected(server.kind, "scope: extensions", right)


async def test_client_and_server(server: Server) -> None:
    async with playing(server, ACCEPT, TELL_SCOPE) as wire:
        found = await scope_of(wire)
        right = {
            "client": wire.writer.get_extra_info("sockname"),
            "server": wire.writer.get_extra_info("peername"),
        }
    if expected(server.kind, "scope: client and server", "tuples") == "lists":
        right = {key: list(address) for key, address in right.items()}
    assert {key: found[key] for key in right} == right


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", b"/", b""),
        ("/?", "/", b"/", b""),
        ("/a/b?x=1&y=%20&x=2", "/a/b", b"/a/b", b"x=1&y=%20&x=2"),
        ("/caf%C3%A9/%2F%3F?q=%C3%A9", "/caf\xe9//?", b"/caf%C3%A9/%2F%3F", b"q=%C3%A9"),
        ("//a//b/?a?b", "//a//b/", b"//a//b/", b"a?b"),
        ("/%FF", "/\N{REPLACEMENT CHARACTER}", b"/%FF", b""),
        ("/a+b%2Bc;d", "/a+b+c;d", b"/a+b%2Bc;d", b""),
    ],
)
async def test_the_path_and_the_query(
    server: Server, target: str, path: str, raw_path: bytes, query: bytes
) -> None:
    scope = await asked(server, target)
    found = scope["path"], scope["raw_path"], scope["query_string"]
    right = {target: (path, raw_path, query)}
    assert found == expected(server.kind, "scope: paths", right)[target]


async def test_headers_keep_their_order_and_their_duplicates(server: Server) -> None:
    sent = [("X-Two", "one"), ("x-one", "\xe9"), ("X-Two", "two"), ("Cookie", "a=1; b=2")]
    scope = await asked(server, headers=[*sent, ("Origin", "http://127.0.0.1")])
    found = {
        name: [value for each, value in scope["headers"] if each == name]
        for name in (b"x-one", b"x-two", b"cookie", b"origin", b"host")
    }
    assert found == {
        b"x-one": [b"\xe9"],
        b"x-two": expected(server.kind, "scope: duplicate headers", [b"one", b"two"]),
        b"cookie": [b"a=1; b=2"],
        b"origin": [b"http://127.0.0.1"],
        b"host": [b"127.0.0.1"],
    }


async def test_header_names_with_underscores_are_dropped(server: Server) -> None:
    """CVE-2015-0219: some would take `x_user` for `x-user`."""
    scope = await asked(server, headers=[("X_User", "evil"), ("X-User", "good")])
    found = {name for name, _ in scope["headers"] if name in (b"x-user", b"x_user")}
    assert found == expected(server.kind, "scope: underscores", {b"x-user"})


@pytest.mark.parametrize(
    ("lines", "right"),
    [
        ([], []),
        (["one"], ["one"]),
        (["one, two,three"], ["one", "two", "three"]),
        (["one", "two,three"], ["one", "two", "three"]),
    ],
)
async def test_subprotocols(server: Server, lines: list[str], right: list[str]) -> None:
    headers = [("Sec-WebSocket-Protocol", line) for line in lines]
    scope = await asked(server, headers=headers)
    assert scope["subprotocols"] == right
