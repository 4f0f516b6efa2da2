"""API keys before accept."""

import hashlib
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from bolt_ws import BoltAPI, DeclarationError, WebSocket
from bolt_ws.auth import (
    AllowAny,
    APIKeyAuthentication,
    Cookie,
    Header,
    Identity,
    JWTAuthentication,
    Query,
    Subprotocol,
    generate_api_key,
    hash_api_key,
)
from bolt_ws.auth.backends import nonblocking
from bolt_ws.testing import AsyncTestClient, TestClient

KEY = "kZ8-4JQ0sVj2cYw_7rT5nB1xL9mD3fGh"
OTHER = "Q" * 8 + KEY
BOTH = (Header("X-API-Key", scheme=None), Query("api_key"))


async def whoami(websocket: WebSocket) -> None:
    await websocket.send_json([websocket.context.user_id, websocket.context.auth_backend])


def api_of(*auth: Any, handler: Any = whoami, guards: Any = None) -> BoltAPI:
    api = BoltAPI()
    api.websocket("/ws", auth=auth, guards=guards)(handler)
    return api


def known(**options: Any) -> APIKeyAuthentication:
    """A backend that knows one key."""
    return APIKeyAuthentication({hash_api_key(KEY): "service"}, **options)


def finding(find: Any) -> APIKeyAuthentication:
    return APIKeyAuthentication(find=find)


# Keys and their hashes


def test_a_hash_is_sha256() -> None:
    assert hash_api_key(KEY) == hashlib.sha256(KEY.encode()).hexdigest()


def test_generated_keys_differ_and_are_good() -> None:
    keys = {generate_api_key() for _ in range(10)}
    assert len(keys) == len({hash_api_key(key) for key in keys}) == 10
    assert all(len(key) == 43 for key in keys)


@pytest.mark.parametrize(
    "key", ["", "short", "k" * 31, "k" * 513, "k" * 40 + "é", "k" * 40 + "\x00", "k " * 20]
)
def test_a_key_that_is_none_has_no_hash(key: str) -> None:
    with pytest.raises(ValueError, match="an API key has 32 to 512") as raised:
        hash_api_key(key)
    assert not key or key not in str(raised.value)


# Who gets in


def test_a_good_key() -> None:
    with TestClient(api_of(known())).websocket_connect("/ws", headers={"X-API-Key": KEY}) as ws:
        assert ws.receive_json() == ["service", "APIKeyAuthentication"]


async def test_a_good_key_in_a_coroutine() -> None:
    async with (
        AsyncTestClient(api_of(known())) as client,
        client.websocket_connect("/ws", headers={"x-api-key": KEY}) as ws,
    ):
        assert await ws.receive_json() == ["service", "APIKeyAuthentication"]


def test_an_identity_is_taken_as_it_is() -> None:
    identity = Identity("7", is_staff=True, permissions=frozenset({"a.b"}), expires_at=2e9)
    backend = APIKeyAuthentication({hash_api_key(KEY): identity, hash_api_key(OTHER): "8"})
    for key, expected in ((KEY, identity), (OTHER, Identity("8"))):
        found = backend.authenticate(WebSocket.fake(headers={"X-API-Key": key}))
        assert found == expected


@pytest.mark.parametrize("place", ["header", "query", "subprotocol"])
def test_other_places(place: str) -> None:
    sources = {"header": Header("X-Key", scheme="Key"), "query": Query("k")}
    backend = known(sources=[sources.get(place, Subprotocol())])
    options: dict[str, Any] = {
        "header": {"headers": {"X-Key": f"key {KEY}"}},
        "query": {"query": {"k": KEY}},
        "subprotocol": {"subprotocols": ["v1", f"bearer.{KEY}"]},
    }
    client = TestClient(api_of(backend))
    with client.websocket_connect("/ws", **options[place]) as ws:
        assert ws.receive_json()[0] == "service"
    client.assert_refused("/ws", 401, headers={"X-API-Key": KEY})


def test_a_key_in_a_cookie_is_ambient() -> None:
    backend = known(sources=[Cookie("key")])
    assert backend.is_ambient
    assert not known().is_ambient
    TestClient(api_of(backend), cookies={"key": KEY}, origin=None).assert_refused("/ws", 403)
    with TestClient(api_of(backend), cookies={"key": KEY}).websocket_connect("/ws") as ws:
        assert ws.receive_json()[0] == "service"


@pytest.mark.parametrize("find", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
        "short",
        OTHER,
        KEY[:-1],
        KEY + "x",
        KEY[:-1] + KEY[-1].swapcase(),
        f"{KEY}, {KEY}",
        f"Bearer {KEY}",
        KEY + "\x00",
        "é" * 40,
        "k" * 512,
        "k" * 513,
        "k" * 100_000,
        hash_api_key(KEY),
    ],
)
def test_a_bad_key_is_refused_even_where_anybody_may_come(key: str, find: bool) -> None:
    async def look(digest: str) -> Identity | None:
        return Identity("7") if digest == hash_api_key(KEY) else None

    backend = finding(look) if find else known()
    client = TestClient(api_of(backend, guards=[AllowAny()]))
    refused = client.assert_refused("/ws", 401, headers={"X-API-Key": key})
    assert refused.json() == {"detail": "Invalid API key", "code": "authentication_failed"}


@pytest.mark.parametrize(
    "options",
    [
        {"headers": [("X-API-Key", KEY), ("X-API-Key", KEY)]},
        {"headers": {"X-API-Key": KEY}, "query": {"api_key": KEY}},
        {"query": {"api_key": [KEY, KEY]}},
    ],
)
def test_two_keys_are_refused(options: Any) -> None:
    TestClient(api_of(known(sources=BOTH))).assert_refused("/ws", 401, **options)


def test_no_key_is_nobody() -> None:
    assert known().authenticate(WebSocket.fake()) is None
    TestClient(api_of(known())).assert_refused("/ws", 401)
    with TestClient(api_of(known(), guards=[AllowAny()])).websocket_connect("/ws") as ws:
        assert ws.receive_json() == [None, None]


def test_all_keys_are_compared_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(known: str, digest: str) -> bool:
        compared.append(known)
        return known == digest

    monkeypatch.setattr("bolt_ws.auth.api_key.hmac.compare_digest", compare)
    keys = {hash_api_key(generate_api_key()): str(number) for number in range(5)}
    backend = APIKeyAuthentication({hash_api_key(KEY): "service", **keys})
    backend.authenticate(WebSocket.fake(headers={"X-API-Key": KEY}))
    assert len(compared) == 6


# Nobody sees the key


@pytest.mark.parametrize("place", ["header", "query"])
def test_the_key_is_gone_afterwards(place: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def look(websocket: WebSocket, api_key: str = "taken") -> None:
        parts = (websocket.scope, websocket.context, websocket.auth, websocket.url)
        more = (websocket.headers, websocket.query_params, websocket.request.META, api_key)
        seen.append(repr([*parts, *more]))
        await websocket.accept()

    backend = known(sources=BOTH)
    at = {"headers": {"X-API-Key": KEY}} if place == "header" else {"query": {"api_key": KEY}}
    options: Any = at
    client = TestClient(api_of(backend, handler=look))
    with client.websocket_connect("/ws", **options) as ws:
        ws.assert_closed(1000)
    assert len(seen) == 1
    for secret in (KEY, hash_api_key(KEY)):
        assert secret not in seen[0]
        assert secret not in caplog.text
        assert secret not in repr(backend)
    assert "taken" in seen[0]


def test_the_servers_own_headers_stay() -> None:
    websocket = WebSocket.fake(headers={"X-API-Key": KEY, "X-Other": "1"})
    headers = websocket.scope["headers"]
    before = list(headers)
    assert known().authenticate(websocket) is not None
    assert headers == before
    assert websocket.headers.get("x-api-key") is None
    assert websocket.headers["x-other"] == "1"


def test_a_key_that_nobody_asked_for_is_gone_too() -> None:
    seen: list[str] = []

    async def look(websocket: WebSocket) -> None:
        seen.append(repr([websocket.scope, websocket.headers, websocket.url]))
        await websocket.accept()

    client = TestClient(api_of(JWTAuthentication(), known(sources=BOTH), handler=look))
    token = client.token_for(User(pk=7))
    options: Any = {"headers": {"X-API-Key": KEY}, "query": {"api_key": KEY}}
    with client.websocket_connect("/ws", token=token, **options) as ws:
        ws.assert_closed(1000)
    assert KEY not in seen[0]


# Keys in a model


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["sync", "async", "callable object"])
def test_a_key_that_is_found(kind: str, django_assert_num_queries: Callable[[int], Any]) -> None:
    # Any model that holds the hash: here it is the user's first name.
    user = User.objects.create(username="bot", first_name=hash_api_key(KEY))

    def find(digest: str) -> Identity | None:
        found = User.objects.filter(first_name=digest).first()
        return found and Identity(str(found.pk), is_staff=found.is_staff, user=found)

    async def find_async(digest: str) -> Identity | None:
        found = await User.objects.filter(first_name=digest).afirst()
        return found and Identity(str(found.pk), user=found)

    class Find:
        async def __call__(self, digest: str) -> Identity | None:
            return await find_async(digest)

    finds = {"sync": find, "async": find_async, "callable object": Find()}
    client = TestClient(api_of(finding(finds[kind])))
    with (
        django_assert_num_queries(1),
        client.websocket_connect("/ws", headers={"X-API-Key": KEY}) as ws,
    ):
        assert ws.receive_json()[0] == str(user.pk)
    with django_assert_num_queries(1):
        client.assert_refused("/ws", 401, headers={"X-API-Key": OTHER})
    with django_assert_num_queries(0):
        client.assert_refused("/ws", 401)
        client.assert_refused("/ws", 401, headers={"X-API-Key": "short"})


async def test_what_is_asked_runs_where_it_blocks_nobody(db: None) -> None:
    threads: dict[str, int] = {}

    def sync(digest: str) -> None:
        threads["sync"] = threading.get_ident()

    async def later(digest: str) -> None:
        threads["async"] = threading.get_ident()

    @nonblocking
    def quick(digest: str) -> None:
        threads["quick"] = threading.get_ident()

    for find in (sync, later, quick):
        await AsyncTestClient(api_of(finding(find))).assert_refused(
            "/ws", 401, headers={"X-API-Key": KEY}
        )
    assert threads["async"] == threads["quick"] == threading.get_ident() != threads["sync"]


@pytest.mark.parametrize(
    "answer",
    [
        True,
        False,
        0,
        "7",
        7,
        {"user_id": "7"},
        ("7",),
        Identity,
        User(pk=7),
    ],
)
def test_what_is_no_identity_refuses(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def find(digest: str) -> Any:
        return answer

    client = TestClient(api_of(finding(find), guards=[AllowAny()]))
    refused = client.assert_refused("/ws", 500, headers={"X-API-Key": KEY})
    assert refused.json() == {"detail": "Internal server error", "code": "internal_error"}
    assert "TypeError" in caplog.text
    assert KEY not in caplog.text


def test_an_exception_in_find_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async def find(digest: str) -> Any:
        raise LookupError("the database is down")

    client = TestClient(api_of(finding(find), guards=[AllowAny()]))
    client.assert_refused("/ws", 500, headers={"X-API-Key": KEY})
    assert "the database is down" in caplog.text
    assert KEY not in caplog.text


def test_beside_another_backend() -> None:
    client = TestClient(api_of(JWTAuthentication(), known()))
    with client.websocket_connect("/ws", headers={"X-API-Key": KEY}) as ws:
        assert ws.receive_json()[0] == "service"
    with client.websocket_connect("/ws", token=client.token_for(User(pk=7))) as ws:
        assert ws.receive_json()[0] == "7"


# Declarations


@pytest.mark.parametrize(
    "make",
    [
        lambda: APIKeyAuthentication(),
        lambda: APIKeyAuthentication({hash_api_key(KEY): "7"}, find=lambda digest: None),
        lambda: APIKeyAuthentication(find=KEY),  # type: ignore[arg-type]
        lambda: APIKeyAuthentication({KEY: "7"}),
        lambda: APIKeyAuthentication({"service": hash_api_key(KEY)}),
        lambda: APIKeyAuthentication({hash_api_key(KEY).upper(): "7"}),
        lambda: APIKeyAuthentication({hash_api_key(KEY) + "\n": "7"}),
        lambda: APIKeyAuthentication({b"key": "7"}),  # type: ignore[dict-item]
        lambda: APIKeyAuthentication({hash_api_key(KEY): 7}),  # type: ignore[dict-item]
        lambda: APIKeyAuthentication({hash_api_key(KEY): None}),  # type: ignore[dict-item]
        lambda: APIKeyAuthentication({hash_api_key(KEY): ""}),
        lambda: APIKeyAuthentication([hash_api_key(KEY)]),  # type: ignore[arg-type]
        lambda: known(sources=[]),
        lambda: known(sources="X-API-Key"),
        lambda: known(sources=[Header]),
    ],
)
def test_what_cannot_work_is_an_error_at_import(make: Callable[[], Any]) -> None:
    with pytest.raises(DeclarationError) as raised:
        make()
    assert KEY not in str(raised.value)
    assert hash_api_key(KEY) not in str(raised.value)


def test_a_key_is_no_parameter_of_a_handler() -> None:
    async def handler(websocket: WebSocket, api_key: str) -> None: ...

    with pytest.raises(DeclarationError, match="api_key"):
        api_of(known(sources=BOTH), handler=handler).as_asgi()


def test_the_signature_holds_no_key() -> None:
    assert "kZ8" not in str(inspect.signature(APIKeyAuthentication))
