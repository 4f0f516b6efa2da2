"""Where a token may come from, and that it is gone from there."""

import copy
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bolt_ws
from bolt_ws import DeclarationError, WebSocket
from bolt_ws.auth import (
    AllowAny,
    AuthenticationFailed,
    Cookie,
    Header,
    Identity,
    JWTAuthentication,
    Query,
    Subprotocol,
)
from bolt_ws.auth.backends import nonblocking
from bolt_ws.auth.sources import Source
from tests.support import Application, Connection, make_scope, make_token, serve, status, talk

ALL = (Query("token"), Header(), Subprotocol("bearer"), Cookie("jwt"))
ORIGIN = (b"origin", b"http://testserver")


async def whoami(websocket: WebSocket) -> None:
    await websocket.send_text(websocket.context.user_id or "nobody")


def guarded(*sources: Source, handler: Any = whoami, **options: Any) -> Application:
    return serve(handler, auth=[JWTAuthentication(sources=sources or ALL)], **options)


def offering(*subprotocols: str) -> dict[str, Any]:
    """What a server makes of offered subprotocols."""
    header = (b"sec-websocket-protocol", ", ".join(subprotocols).encode())
    return {"subprotocols": list(subprotocols), "headers": [(b"host", b"testserver"), header]}


def with_headers(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"headers": [(b"host", b"testserver"), *headers]}


def places(token: str) -> dict[str, dict[str, Any]]:
    """A handshake with the token, for each source."""
    return {
        "Query": {"query": f"token={token}", **with_headers()},
        "Header": with_headers((b"authorization", f"Bearer {token}".encode())),
        "Subprotocol": offering("chat", f"bearer.{token}"),
        "Cookie": with_headers((b"cookie", f"a=1; jwt={token}".encode()), ORIGIN),
    }


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    headers = dict([*one["headers"], *other["headers"]])
    return {**one, **other, "headers": list(headers.items())}


# Each source


@pytest.mark.parametrize("source", ALL, ids=lambda each: type(each).__name__)
async def test_a_token_from_its_source_and_from_no_other(source: Source) -> None:
    name = type(source).__name__
    for place, handshake in places(make_token()).items():
        expected = 101 if place == name else 401
        assert await status(guarded(source), **handshake) == expected
        assert await status(guarded(), **handshake) == 101


@pytest.mark.parametrize("place", places(""))
@pytest.mark.parametrize("token", ["", "x", "a.b.c", "another key's"])
async def test_a_bad_token_is_refused_where_anybody_may_come(place: str, token: str) -> None:
    if token == "another key's":
        token = make_token("another key, and long enough too")
    application = guarded(guards=[AllowAny()])
    assert await status(application, **places(token)[place]) == 401


@pytest.mark.parametrize("one", places(""))
@pytest.mark.parametrize("other", places(""))
async def test_two_tokens_are_refused(one: str, other: str) -> None:
    token = make_token()
    if one != other:
        handshake = merged(places(token)[one], places(token)[other])
        assert await status(guarded(), **handshake) == 401
        empty = merged(places(token)[one], places("")[other])
        assert await status(guarded(), **empty) == 401


async def test_two_tokens_of_one_source_are_refused() -> None:
    token = make_token()
    header, cookie = f"Bearer {token}".encode(), f"jwt={token}"
    pairs = [
        {"query": f"token={token}&token={token}"},
        with_headers((b"authorization", header), (b"authorization", header)),
        with_headers((b"authorization", header), (b"Authorization", b"Basic YTpi")),
        offering("chat", f"bearer.{token}", f"bearer.{token}"),
        offering("chat", f"bearer.{token}", f"BEARER.{token}"),
        with_headers((b"cookie", f"{cookie}; {cookie}".encode()), ORIGIN),
        with_headers((b"cookie", cookie.encode()), (b"cookie", cookie.encode()), ORIGIN),
        with_headers((b"cookie", f"{cookie}; jwt=".encode()), ORIGIN),
    ]
    for handshake in pairs:
        sent = await Connection(guarded(), deny=True, **handshake).end()
        assert sent[0]["status"] == 401
        assert json.loads(sent[1]["body"])["detail"] == "More than one token"


async def test_a_header_of_another_name_and_without_a_scheme() -> None:
    own = guarded(Header("X-Token", scheme=None))
    assert await status(own, **with_headers((b"x-token", make_token().encode()))) == 101
    assert await status(own, **with_headers((b"x-token", b""))) == 401
    assert await status(own, **places(make_token())["Header"]) == 401
    other = guarded(Header(scheme="JWT"))
    header = f"jwt {make_token()}".encode()
    assert await status(other, **with_headers((b"authorization", header))) == 101
    assert await status(other, **places(make_token())["Header"]) == 401


async def test_a_header_of_another_scheme_stays() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        seen.append(websocket.headers["authorization"])

    header = (b"authorization", b"Basic YTpi")
    await talk(guarded(handler=handler, guards=[AllowAny()]), **with_headers(header))
    assert seen == ["Basic YTpi"]


async def test_a_quoted_cookie_is_read_as_django_reads_it() -> None:
    cookie = f'jwt="{make_token()}"; other'.encode()
    assert await status(guarded(), **with_headers((b"cookie", cookie), ORIGIN)) == 101


async def test_a_cookie_needs_an_origin_and_the_rest_does_not() -> None:
    token = make_token()
    cookie = (b"cookie", f"jwt={token}".encode())
    assert await status(guarded(), **with_headers(cookie)) == 403
    assert (
        await status(guarded(), **with_headers(cookie, (b"origin", b"http://evil.example"))) == 403
    )
    assert await status(guarded(), **with_headers(cookie, ORIGIN)) == 101
    assert await status(guarded(), **places(token)["Header"]) == 101


def test_a_backend_tells_whether_it_is_ambient() -> None:
    assert JWTAuthentication(sources=[Query(), Cookie("jwt")]).is_ambient
    assert not JWTAuthentication().is_ambient


# The subprotocol


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        (["chat", "{}"], "chat"),
        (["{}", "chat"], "chat"),
        (["a", "{}", "b"], "a"),
        (["{}", "bearer", "a"], "bearer"),
        (["{}", "", "a"], "a"),
    ],
)
@pytest.mark.parametrize("auto_accept", [None, True])
async def test_the_label_is_answered(
    offered: list[str], answer: str, auto_accept: bool | None
) -> None:
    subprotocols = [each.format(f"bearer.{make_token()}") for each in offered]
    application = guarded(auto_accept=auto_accept)
    sent = await talk(application, subprotocols=subprotocols)
    assert sent[0] == {"type": "websocket.accept", "subprotocol": answer, "headers": []}


async def test_accept_answers_the_label_unless_it_says_another() -> None:
    chosen: list[str | None] = [None, "b", "a"]

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol=chosen[0])

    for expected in ("a", "b", "a"):
        offered = offering("a", f"bearer.{make_token()}", "b")
        sent = await talk(guarded(handler=handler, auto_accept=False), **offered)
        assert sent[0]["subprotocol"] == expected
        chosen.pop(0)


async def test_the_token_cannot_be_answered() -> None:
    token = f"bearer.{make_token()}"

    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(ValueError, match=r"was not offered: the client offered 'a'$"):
            await websocket.accept(subprotocol=token)

    await talk(guarded(handler=handler), **offering("a", token))


@pytest.mark.parametrize("offered", [["bearer.{}"], ["bearer.{}", ""]])
async def test_a_token_without_a_label_says_what_is_missing(offered: list[str]) -> None:
    offered = [each.format(make_token()) for each in offered]
    start, body = await Connection(guarded(), subprotocols=offered, deny=True).end()
    assert start["status"] == 401
    assert json.loads(body["body"]) == {
        "detail": "A subprotocol besides the token is needed, for the server to answer",
        "code": "subprotocol_needed",
    }


async def test_without_a_token_nothing_is_answered() -> None:
    sent = await talk(guarded(guards=[AllowAny()]), **offering("chat", "json"))
    assert sent[0]["subprotocol"] is None
    sent = await talk(guarded(), **merged(offering("chat"), places(make_token())["Query"]))
    assert sent[0]["subprotocol"] is None


async def test_a_refusal_before_authentication_answers_no_token() -> None:
    handshake = offering(f"bearer.{make_token()}", "chat")
    handshake["headers"].append((b"origin", b"http://evil.example"))
    sent = await Connection(guarded(refuse="close"), **handshake).end()
    assert [event.get("subprotocol") or event.get("code") for event in sent] == ["chat", 4403]


# The token is gone


@pytest.mark.parametrize("place", ["Query", "Header", "Subprotocol"])
async def test_nothing_shows_the_token(place: str, caplog: pytest.LogCaptureFixture) -> None:
    token, shown = make_token(), []

    async def handler(websocket: WebSocket) -> None:
        shown.extend([repr(websocket), repr(websocket.scope), str(websocket.url)])
        shown.extend(
            [repr(websocket.headers), repr(websocket.subprotocols), repr(websocket.request.META)]
        )
        shown.extend([repr(websocket.query_params), repr(dict(websocket.context))])

    with caplog.at_level(logging.DEBUG):
        await talk(guarded(handler=handler), **places(token)[place])
        await talk(guarded(handler=handler), **places(token + "x")[place])
    assert len(shown) == 8
    assert token not in "".join(shown) + caplog.text
    assert all(token not in repr(vars(record)) for record in caplog.records)


async def test_what_was_looked_at_before_shows_it_no_more() -> None:
    class Curious(JWTAuthentication):
        @nonblocking
        def authenticate(self, websocket: Any) -> Any:
            shown = f"{websocket.headers} {websocket.query_params} {websocket.request.headers}"
            assert "eyJ" in shown
            return super().authenticate(websocket)

    async def handler(websocket: WebSocket) -> None:
        seen.append(f"{websocket.headers} {websocket.request.headers} {websocket.request.META}")

    seen: list[str] = []
    for place in ("Header", "Subprotocol"):
        application = serve(handler, auth=[Curious(sources=ALL)])
        await talk(application, **places(make_token())[place])
    assert len(seen) == 2
    assert "eyJ" not in "".join(seen)


async def test_the_rest_of_the_handshake_stays() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        seen.extend([websocket.scope["headers"], websocket.subprotocols, websocket.cookies])

    token = make_token()
    handshake = offering("a", f"Bearer.{token}", "b")
    handshake["headers"] += [(b"x-a", b"1"), (b"cookie", b"c=2"), (b"X-A", b"3")]
    await talk(guarded(handler=handler), **handshake)
    host, protocol, *rest = handshake["headers"]
    assert seen == [[host, (protocol[0], b"a, b"), *rest], ["a", "b"], {"c": "2"}]


async def test_the_raw_header_goes_where_only_the_token_was_in_it() -> None:
    token = f"bearer.{make_token()}".encode()
    name = b"sec-websocket-protocol"
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        seen.extend(websocket.scope["headers"])

    handshake = offering("chat", token.decode())
    handshake["headers"] = [(name, b"chat"), (name, token), (name, b"x,  " + token + b",y")]
    await talk(guarded(handler=handler), **handshake)
    assert seen == [(name, b"chat"), (name, b"x, y")]


@pytest.mark.parametrize("place", places(""))
async def test_the_servers_own_scope_stays_as_it_is(place: str) -> None:
    connection = Connection(guarded(), **places(make_token())[place])
    before = copy.deepcopy(connection.scope)
    connection.leave()
    await connection.end()
    assert connection.scope == before


async def test_a_cookie_stays_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    token = make_token()

    async def handler(websocket: WebSocket) -> None:
        await websocket.send_text(websocket.cookies["jwt"])

    with caplog.at_level(logging.DEBUG):
        sent = await talk(guarded(handler=handler), **places(token)["Cookie"])
        await talk(guarded(handler=handler), **places(token + "x")["Cookie"])
    assert sent[1]["text"] == token
    assert token not in caplog.text


async def test_a_backend_that_is_not_asked_loses_its_token_too() -> None:
    seen: list[Any] = []

    async def look(websocket: WebSocket) -> None:
        seen.extend([websocket.context.user_id, repr(websocket.scope)])

    first = JWTAuthentication(sources=[Query("a")])
    second = JWTAuthentication(sources=[Query("b"), Header(), Subprotocol()])
    token = make_token(sub="8")
    handshake = merged(places(token)["Header"], offering(f"bearer.{token}"))
    handshake["query"] = f"a={make_token()}&b={token}&c=1"
    await talk(serve(look, auth=[first, second]), **handshake)
    assert seen[0] == "7"
    assert token not in seen[1]
    assert "c=1" in seen[1]


# What handlers may ask for


def test_the_query_parameters_that_are_taken_are_those_of_the_sources() -> None:
    async def ask_token(websocket: WebSocket, token: str) -> None: ...
    async def ask_jwt(websocket: WebSocket, jwt: str) -> None: ...

    with pytest.raises(DeclarationError, match=r"'token': can never be filled"):
        guarded(handler=ask_token)
    with pytest.raises(DeclarationError, match=r"'jwt': can never be filled"):
        guarded(Query("jwt"), Header(), handler=ask_jwt)
    guarded(Query("jwt"), handler=ask_token)
    guarded(Header(), handler=ask_token)


# Declarations


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "sources must be a list"),
        (Header(), "sources must be a list"),
        ("token", "sources must be a list"),
        (["token"], "'token' is no place for a token"),
        ([None], "None is no place for a token"),
        ([Header], r"Header is a class; write Header\(\)"),
        ([bolt_ws.Header()], "from bolt_ws.auth import Header"),
        ([bolt_ws.Query()], "from bolt_ws.auth import Query"),
        ([Query(), bolt_ws.Cookie()], "from bolt_ws.auth import Cookie"),
        ([bolt_ws.Query], "from bolt_ws.auth import Query"),
        ([bolt_ws.Path()], "bolt_ws.Path marks a handler's parameter, and holds no token"),
    ],
)
def test_sources_that_cannot_be(sources: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        JWTAuthentication(sources=sources)


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\n", None, 1])
@pytest.mark.parametrize("kind", [Header, Subprotocol, Cookie, lambda each: Header(scheme=each)])
def test_names_that_cannot_be(kind: Any, name: Any) -> None:
    if name is None and kind not in (Header, Subprotocol, Cookie):
        kind(name)
        return
    with pytest.raises(DeclarationError, match="RFC 9110"):
        kind(name)


@pytest.mark.parametrize("name", ["", None, 1])
def test_query_parameters_that_cannot_be(name: Any) -> None:
    with pytest.raises(DeclarationError, match="a parameter's name is text"):
        Query(name)


@pytest.mark.parametrize("name", ["Cookie", "host", "Origin", "Sec-WebSocket-Protocol", "Upgrade"])
def test_headers_that_are_needed_are_no_credentials(name: str) -> None:
    with pytest.raises(DeclarationError, match="is no header for a credential"):
        Header(name, scheme=None)


# Anything at all

TEXTS = st.text(max_size=20) | st.sampled_from(["", "Bearer", "bearer.", "jwt=", "a.b.c", '"'])
TOKENS = TEXTS | st.builds(make_token)
LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
SUBPROTOCOLS = st.lists(LATIN | st.builds("{}{}".format, st.sampled_from(["bearer.", "x"]), TOKENS))
VALUES = st.binary(max_size=20) | st.builds(
    lambda start, token: start + token.encode(),
    st.sampled_from([b"Bearer ", b"bearer\t", b"jwt=", b"a=1; jwt=", b'jwt="', b"bearer.", b","]),
    TOKENS,
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"authorization", b"Authorization", b"cookie", b"sec-websocket-protocol", b"x"]
        ),
        VALUES,
    ),
    max_size=5,
)


@given(headers=HEADERS, subprotocols=st.none() | SUBPROTOCOLS, query=st.binary() | VALUES)
def test_nothing_but_authentication_failed_leaves_authenticate(
    headers: Any, subprotocols: Any, query: bytes
) -> None:
    async def unused(*args: object) -> Any:
        raise AssertionError

    scope = make_scope(query=query, headers=headers, subprotocols=subprotocols)
    websocket = WebSocket(dict(scope), unused, unused)
    backend = JWTAuthentication(sources=ALL)
    try:
        identity = backend.authenticate(websocket)
    except AuthenticationFailed:
        pass
    else:
        assert identity is None or isinstance(identity, Identity)
    # However the handshake went, no credential is left, and no label is made up.
    backend.discard_credentials(websocket)
    assert not any(each.lower().startswith("bearer.") for each in websocket.subprotocols)
    assert websocket.answer in (None, *websocket.subprotocols)
    values = [value for name, value in websocket.scope["headers"] if name == b"authorization"]
    assert not any(value.lower().startswith(b"bearer ") for value in values)
    assert scope["headers"] == headers


@pytest.mark.parametrize("scheme", ["Basic", "digest", "Negotiate", "NTLM"])
async def test_what_browsers_keep_of_a_header_is_ambient(scheme: str) -> None:
    assert Header(scheme=scheme).is_ambient
    headers = [(b"host", b"testserver"), (b"authorization", f"{scheme} {make_token()}".encode())]
    application = guarded(Header(scheme=scheme))
    assert await status(application, headers=headers) == 403
    own = (b"origin", b"http://testserver")
    assert await status(application, headers=[*headers, own]) == 101


@pytest.mark.parametrize("source", [Header(), Header("X-Key", None), Query(), Subprotocol()])
def test_what_a_page_must_send_itself_is_not(source: Source) -> None:
    assert not source.is_ambient
