"""What the README and docs/ show is run, and does what they say."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from asyncio import to_thread
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, ModuleType
from typing import Any

import jwt
import msgspec
import pytest
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from channels_redis.utils import create_pool, decode_hosts
from django.contrib.auth.models import Group, User
from django.contrib.auth.signals import user_logged_out
from django.core.cache import cache
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.db.models.signals import post_save
from django.test import RequestFactory, override_settings

from bolt_ws import WebSocket
from bolt_ws.auth import JWTAuthentication, create_jwt_for_user
from bolt_ws.conf import get_settings
from bolt_ws.daphne.handshake import Handshake
from bolt_ws.daphne.handshake import make_scope as make_daphne_scope
from bolt_ws.rooms.hubs import say_farewell
from bolt_ws.rooms.layers import get_layer
from bolt_ws.rooms.names import group_of
from bolt_ws.testing import AsyncTestClient, TestClient, WebSocketTimeout
from tests.docs.pages import PAGES, ROOT, run
from tests.support import make_scope

README, DOCS = ROOT / "README.md", ROOT / "docs"


def token(**fields: Any) -> str:
    return create_jwt_for_user(User(pk=7, **fields))


async def talk(
    application: Any, path: str, *texts: str, headers: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Connect, send the texts, and return as many replies; one at least."""
    raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    communicator = WebsocketCommunicator(application, path, raw_headers)
    accepted, code = await communicator.connect()
    assert accepted, code
    replies = []
    for text in texts or [None]:
        if text is not None:
            await communicator.send_to(text_data=text)
        replies.append(await communicator.receive_from())
    await communicator.disconnect()
    return replies


async def refusal(application: Any, path: str) -> int:
    accepted, code = await WebsocketCommunicator(application, path).connect()
    assert not accepted
    return int(code)


@pytest.fixture
def empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def no_receivers() -> Iterator[None]:
    yield
    user_logged_out.disconnect(dispatch_uid="leave_at_logout")
    post_save.disconnect(sender=Group, dispatch_uid="tell_of_group")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page: Any) -> None:
    run(page)


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\(docs/(\w+)\.md\)", README.read_text()))
    assert linked == {page.stem for page in DOCS.glob("*.md")}


async def test_readme() -> None:
    application = run(README).api.as_asgi()
    path = f"/ws/room/lobby?shout=true&token={token()}"
    assert await talk(application, path, "hi") == ['{"from":"7","text":"HI"}']
    assert await refusal(application, "/ws/room/lobby") == 4401


def test_the_view_of_the_readme() -> None:
    module = run(README)
    ann, bob = User(pk=7, username="ann"), User(pk=8)
    request = RequestFactory().post("/")
    request.user = ann
    with (
        TestClient(module.api) as client,
        client.websocket_connect("/ws/room/lobby", token=token()) as here,
        client.websocket_connect("/ws/room/kitchen", token=client.token_for(bob)) as there,
    ):
        for each in (here, there):
            each.send_text("I am in")
            each.receive_json()
        assert module.invite(request, "lobby", bob.pk).status_code == 204
        assert here.receive_json() == {"from": "ann", "text": "We will be more"}
        assert there.receive_json() == {"from": "ann", "text": "Come to lobby"}
        for each in (here, there):
            each.receive_nothing()


@pytest.fixture
def endpoints() -> ModuleType:
    return run(DOCS / "endpoints.md")


async def test_endpoints(endpoints: ModuleType) -> None:
    application = endpoints.api.as_asgi()
    assert await talk(application, "/ws/echo", "hi") == ["Echo: hi"]
    assert await talk(application, "/ws/room/5") == ['{"room":5,"path":["room_id"]}']
    member = "12345678-1234-5678-1234-567812345678"
    assert await talk(application, f"/ws/rooms/5/members/{member}") == [
        '{"room":5,"path":["room_id","member"]}'
    ]
    assert await talk(application, "/v1/chat/lobby") == ["welcome"]


@pytest.mark.django_db(transaction=True)  # Channels' own consumers look at the connections
async def test_endpoints_beside_a_consumer(endpoints: ModuleType) -> None:
    assert await talk(endpoints.router, "/ws/legacy") == ["hand-written"]
    assert await talk(endpoints.router, "/ws/echo", "hi") == ["Echo: hi"]


async def test_arguments() -> None:
    module = run(DOCS / "arguments.md")
    application = module.api.as_asgi()
    assert await talk(application, "/ws/search?q=a&tag=x&tag=y&order=oldest") == [
        '{"q":"a","limit":10,"tag":["x","y"],"order":"oldest"}'
    ]
    assert await refusal(application, "/ws/search?q=a&limit=abc") == 4422
    language = {"accept-language": "de", "cookie": "theme=dark"}
    assert await talk(application, "/ws/shelf/7?from=3", headers=language) == [
        '{"shelf":7,"first":3,"language":"de","theme":"dark"}'
    ]
    assert await refusal(application, "/ws/shelf/0") == 4422
    assert await talk(application, "/ws/books?size=5") == ['{"number":1,"size":5,"sender":null}']
    assert await refusal(application, "/ws/books?size=500") == 4422
    assert await talk(application, "/ws/who/5", headers={"user-agent": "x"}) == [
        '{"room":"5","agent":"x"}'
    ]


async def test_dependencies() -> None:
    module = run(DOCS / "arguments.md")
    application = module.api.as_asgi()
    assert await talk(application, "/ws/report?day=2024-02-29") == ["2024-02-29: open"]
    assert module.journal == ["open", "close"]
    module.api.dependency_overrides[module.get_journal] = module.get_test_journal
    assert await talk(application, "/ws/report?day=2024-02-29") == ["2024-02-29: test"]


async def test_connection() -> None:
    application = run(DOCS / "connection.md").api.as_asgi()
    assert await talk(application, "/ws/sum", "1", "2") == ['{"total":1}', '{"total":3}']
    assert await talk(application, "/ws/state") == ["Still connected"]
    _, last = await talk(application, "/ws/count", "a", "b")
    assert re.fullmatch(r'\["[-0-9a-f]{36}",2\]', last)
    communicator = WebsocketCommunicator(application, "/ws/sum")
    await communicator.connect()
    await communicator.send_to(text_data='"x"')
    assert await communicator.receive_output() == {
        "type": "websocket.close",
        "code": 1003,
        "reason": "numbers only",
    }


async def test_connection_refusals_values_and_callbacks() -> None:
    application = run(DOCS / "connection.md").api.as_asgi()
    assert await refusal(application, "/ws/vault") == 4404
    communicator = WebsocketCommunicator(application, "/ws/vault", headers=[(b"x-key", b"1")])
    assert (await communicator.connect())[0]
    assert await communicator.receive_from() == "inside"
    assert await talk(application, "/ws/mirror", '{"x":1,"y":2}') == ['{"x":2,"y":1}']
    communicator = WebsocketCommunicator(application, "/ws/buy/milk")
    await communicator.connect()
    assert await communicator.receive_output() == {
        "type": "websocket.close",
        "code": 4100,
        "reason": "out of milk",
    }
    communicator = WebsocketCommunicator(application, "/ws/chat/lobby")
    await communicator.connect()
    assert await communicator.receive_from() == "Welcome to lobby"
    await communicator.send_to(text_data="hi")
    assert await communicator.receive_from() == "lobby: hi"
    await communicator.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_endpoints_that_are_applications(endpoints: ModuleType) -> None:
    assert await talk(endpoints.api.as_asgi(), "/ws/consumer") == ["hand-written"]
    assert await refusal(endpoints.closed.as_asgi(), "/ws/closed") == 4000


async def test_blocking() -> None:
    application = run(DOCS / "blocking.md").api.as_asgi()
    assert await talk(application, "/ws/echo", "hi", "you") == ["Connected!", "Echo: hi"]
    agent = {"user-agent": "x"}
    assert await talk(application, "/ws/rooms/5", headers=agent) == ['{"room":5,"agent":"x"}']
    assert await talk(application, "/ws/chat", "hi") == ["hi"]
    communicator = WebsocketCommunicator(application, "/ws/ticks")
    assert (await communicator.connect())[0]
    for tick in (1, 2):
        assert await communicator.receive_json_from() == {"tick": tick}
    await communicator.send_to(text_data="stop")
    while (event := await communicator.receive_output())["type"] == "websocket.send":
        pass
    assert event == {"type": "websocket.close", "code": 4000, "reason": "as you wish"}
    await communicator.wait()


def test_blocking_rooms() -> None:
    with (
        TestClient(run(DOCS / "blocking.md").api) as client,
        client.websocket_connect("/ws/lounge") as ann,
    ):
        assert ann.receive_json() == {"here": 1}
        with client.websocket_connect("/ws/lounge") as bob:
            assert ann.receive_json() == bob.receive_json() == {"here": 2}
            bob.send_text("hi")
            assert ann.receive_text() == "hi"
            bob.receive_nothing()


@pytest.mark.django_db(transaction=True)
async def test_authentication() -> None:
    module = run(DOCS / "authentication.md")
    application = module.api.as_asgi()
    assert await talk(application, f"/ws/me?token={token()}") == ['{"user":"7"}']
    assert await refusal(application, "/ws/me") == 4401
    assert await talk(application, "/ws/news") == ["hello stranger"]
    assert await refusal(application, "/ws/news?token=bad") == 4401
    key = {"x-api-key": module.new_key}
    assert await talk(application, "/ws/metrics", headers=key) == ["ready"]
    assert await refusal(application, "/ws/metrics") == 4401
    assert await talk(application, "/ws/house?device=thermostat") == ["ready"]
    assert await refusal(application, "/ws/house?device=toaster") == 4401


@pytest.mark.django_db
def test_the_user() -> None:
    module = run(DOCS / "authentication.md")
    ann = User.objects.create_user("ann")
    with TestClient(module.api, user=ann) as client:
        for path, greeting in {
            "/ws/inbox": "hello ann",
            "/ws/profile": "ann",
            "/ws/profile/blocking": "ann",
        }.items():
            with client.websocket_connect(path) as ws:
                assert ws.receive_text() == greeting
    with TestClient(module.api, user=ann, origin=None) as client:
        assert client.assert_refused("/ws/inbox", 403).json()["code"] == "origin_required"


def test_tickets(empty_cache: None) -> None:
    module = run(DOCS / "authentication.md")
    request = RequestFactory().post("/")
    request.user = User(pk=7)
    ticket = json.loads(module.desk_ticket(request).content)["ticket"]
    with TestClient(module.api) as client:
        with client.websocket_connect(f"/ws/desk?ticket={ticket}") as ws:
            assert ws.receive_text() == "ready"
        client.assert_refused(f"/ws/desk?ticket={ticket}", 401)


async def test_jwt() -> None:
    module = run(DOCS / "jwt.md")
    application = module.api.as_asgi()
    path = f"/ws/me?token={module.token_for(User(pk=7))}"
    assert await talk(application, path) == ['{"user":"7"}']
    assert await refusal(application, "/ws/me?token=bad") == 4401


@pytest.mark.django_db
def test_guards() -> None:
    api = run(DOCS / "guards.md").api
    ann = User.objects.create_user("ann")
    group = Group.objects.create(name="readers")
    moderator = create_jwt_for_user(
        User(pk=1, is_staff=True), extra_claims={"permissions": ["chat.moderate"], "plan": "team"}
    )
    with TestClient(api) as client:
        for path in ("/ws/staff", "/ws/club", "/ws/moderation", "/ws/reports"):
            with client.websocket_connect(path, token=moderator) as ws:
                ws.receive_text()
            client.assert_refused(path, 403, token=token())
            client.assert_refused(path, 401)
        client.force_login(ann)
        client.assert_refused(f"/ws/group/{group.pk}", 403)
        ann.groups.add(group)
        with client.websocket_connect(f"/ws/group/{group.pk}") as ws:
            assert ws.receive_text() == "hello, member"


def test_admission(caplog: pytest.LogCaptureFixture) -> None:
    module = run(DOCS / "admission.md")
    with TestClient(module.api, origin="https://app.example.com") as client:
        client.assert_refused("/ws/export", 403)
    with TestClient(module.api) as client:
        with client.websocket_connect("/ws/chat") as ws:
            ws.assert_closed(4401, "Authentication required")
        record = caplog.records[-1]
        shown = json.loads(module.JSONFormatter().format(record))
        assert (shown["endpoint"], shown["status"]) == ("chat", 401)
        client.assert_refused("/ws/export", 401)
        with client.websocket_connect("/ws/export", token=token()) as ws:
            assert ws.receive_text() == "your data"
    for path, origin in {
        "/ws/prices": "https://example.org",
        "/ws/public": "https://evil.example",
    }.items():
        with TestClient(module.partners, origin=origin).websocket_connect(path) as ws:
            assert ws.receive_text()
    TestClient(module.partners, origin="https://evil.example").assert_refused("/ws/prices", 403)


def test_the_line_of_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    page = DOCS / "admission.md"
    origin = "https://app.example.com"
    with (
        override_settings(CSRF_TRUSTED_ORIGINS=[origin]),
        TestClient(run(page).api, origin=origin) as client,
    ):
        expired = client.token_for(User(pk=7), exp=0)
        scope = {"client": ("203.0.113.7", 5000)}
        with client.websocket_connect("/ws/chat", token=expired, scope=scope) as ws:
            ws.assert_closed(4401, "Token expired")
    assert f"```text\n{caplog.records[-1].getMessage()}\n```" in page.read_text()


_CODE = re.compile(r"""(?:Refusal|_refuse|_violation)\([^")]*"(\w+)"|[(,] code="(\w+)\"""")


def test_every_code_of_a_refusal_is_explained() -> None:
    explained = "".join((DOCS / name).read_text() for name in ("admission.md", "expiry.md"))
    sources = "".join(each.read_text() for each in sorted((ROOT / "bolt_ws").rglob("*.py")))
    codes = {first or second for first, second in _CODE.findall(sources)}
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in explained} == set()


@pytest.mark.django_db(transaction=True)
async def test_expiry(empty_cache: None) -> None:
    module = run(DOCS / "expiry.md")
    application, strict = module.api.as_asgi(), module.strict.as_asgi()
    assert await talk(application, f"/ws/radio?token={token()}") == ["on air"]
    renewal = json.dumps({"token": token(is_staff=True)})
    path = f"/ws/long?token={token()}"
    assert await talk(application, path, "hi") == ["7: hi"]
    bad = json.dumps({"token": create_jwt_for_user(User(pk=8))})
    assert await talk(application, path, bad) == ['{"error":"another_user"}']
    communicator = WebsocketCommunicator(application, path)
    await communicator.connect()
    await communicator.send_to(text_data=renewal)
    await communicator.send_to(text_data="still here")
    assert await communicator.receive_from() == "7: still here"
    await to_thread(module.ban, User(pk=7))
    assert await communicator.receive_output() == {
        "type": "websocket.close",
        "code": 4403,
        "reason": "banned",
    }
    await communicator.wait()
    named = create_jwt_for_user(User(pk=9))
    assert await talk(strict, f"/ws/strict?token={named}") == ["welcome"]
    claims = jwt.decode(named, options={"verify_signature": False})
    await to_thread(module.sign_out, claims)
    assert await refusal(strict, f"/ws/strict?token={named}") == 4401
    other = create_jwt_for_user(User(pk=10))
    await to_thread(module.sign_out_everywhere, User(pk=10))
    assert await refusal(strict, f"/ws/strict?token={other}") == 4401


def test_settings() -> None:
    with override_settings(BOLT_WS=run(DOCS / "settings.md").BOLT_WS):
        assert get_settings().apis == ["chat.api:api"]
    blocks = re.findall(r"^BOLT_WS = (\{.*?^\})", (DOCS / "admission.md").read_text(), re.M | re.S)
    for block in blocks:
        with override_settings(BOLT_WS=eval(block)):
            get_settings()


async def test_a_message_prepared_once() -> None:
    announce = run(DOCS / "daphne.md").announce
    handshake = Handshake(
        method=b"GET",
        version=b"HTTP/1.1",
        target=b"/",
        headers=[],
        scheme="ws",
        client=None,
        server=None,
        root_path="",
        has_body=False,
    )
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    await announce(make_daphne_scope(handshake), [send, send], "Hello")
    assert sent[0] is sent[1]
    assert sent[0]["prepared"].frame == b"\x81\x05Hello"
    sent.clear()
    await announce({"extensions": {}}, [send], "Hello")
    assert sent == [{"type": "websocket.send", "text": "Hello"}]


def test_every_setting_is_explained_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", (DOCS / "settings.md").read_text(), re.M))
    with override_settings(BOLT_WS={}):
        defaults = msgspec.structs.asdict(get_settings())
    assert {name.lower(): ast.literal_eval(default) for name, default in rows.items()} == defaults


def test_every_check_is_explained() -> None:
    explained = set(re.findall(r"^\| `(bolt_ws\.\w+)`", (DOCS / "checks.md").read_text(), re.M))
    sources = "".join(page.read_text() for page in (ROOT / "bolt_ws").glob("check_*.py"))
    assert explained == set(re.findall(r'id="(bolt_ws\.\w+)"', sources))


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([\w./]*)(?:#([\w-]+))?\)", page.read_text()):
            linked = page.parent / target if target else page
            assert linked.exists(), (page.name, target)
            titles = re.findall(r"^#+ (.+)$", linked.read_text(), re.M) if anchor else []
            anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in titles}
            assert not anchor or anchor in anchors, (page.name, target, anchor)


def test_the_message_of_a_failed_test() -> None:
    page = DOCS / "testing.md"
    with TestClient(run(page).api) as client, client.websocket_connect("/ws/pairs") as ws:
        for number in (1, 2, 3):
            ws.send_json(number)
        assert ws.receive_json() == {"sum": 3}
        with pytest.raises(WebSocketTimeout) as raised:
            ws.receive_json(timeout=0.1)
    message = re.sub(r'File ".*", line \d+', 'File "chat/api.py", line 12', str(raised.value))
    assert f"```text\nWebSocketTimeout: {message.strip()}\n```" in page.read_text()


@pytest.fixture
def rooms() -> ModuleType:
    """The page on rooms, with an endpoint that listens to any room as any user."""
    module = run(DOCS / "rooms.md")

    @module.api.websocket("/ws/listen/{name}", auth=[JWTAuthentication()])
    async def listen(websocket: WebSocket, name: str) -> None:
        async with websocket.join(name):
            await websocket.send_text("listening")
            async for _ in websocket.iter_text():
                pass

    return module


@contextmanager
def listening(client: TestClient, name: str, **options: Any) -> Iterator[Any]:
    with client.websocket_connect(f"/ws/listen/{name}", **options) as ws:
        assert ws.receive_text() == "listening"
        yield ws


def post(view: Any, **fields: str) -> None:
    assert view(RequestFactory().post("/", fields)).status_code == 204


def test_rooms(rooms: ModuleType) -> None:
    with TestClient(rooms.api) as client:
        for path, other in {
            "/ws/chat/lobby": "/ws/chat/kitchen",
            "/ws/radio/before": "/ws/chat/kitchen",
            "/ws/radio": "/ws/chat/lobby",
        }.items():
            with (
                client.websocket_connect(path) as ann,
                client.websocket_connect(path) as bob,
                client.websocket_connect(other) as eve,
            ):
                ann.send_text("ann")  # bob hears it if he was there in time
                assert ann.receive_text() == "ann"
                bob.send_text("bob")
                assert ann.receive_text() == "bob"
                assert bob.receive_text() == "bob" or bob.receive_text() == "bob"
                eve.receive_nothing()


def test_rooms_leave_connections_out(rooms: ModuleType) -> None:
    with (
        TestClient(rooms.api) as client,
        client.websocket_connect("/ws/board") as ann,
        client.websocket_connect("/ws/board") as bob,
    ):
        ids = [each.receive_json()["you"] for each in (ann, bob)]
        ann.send_json([1, 2])
        assert bob.receive_json() == [1, 2]
        post(rooms.draw, stroke="a line", you=ids[1])
        assert ann.receive_text() == "a line"
        for each in (ann, bob):
            each.receive_nothing()


def test_the_names_of_rooms() -> None:
    for name in ("é" * 200, "bolt_ws.mine"):
        assert group_of(name).startswith("bolt_ws.room.")
    longest = "a-Z_9." + "x" * 93
    assert group_of(longest) == longest
    for name in ("", "x" * 201):
        with pytest.raises(ValueError, match="1 to 200 characters"):
            group_of(name)


@pytest.mark.django_db
def test_rooms_from_anywhere(rooms: ModuleType) -> None:
    with TestClient(rooms.api) as client, listening(client, "board", token=token()) as board:
        async_to_sync(rooms.draw_in_a_coroutine)(RequestFactory().post("/", {"stroke": "a dot"}))
        assert board.receive_text() == "a dot"
    with TestClient(rooms.api) as client, listening(client, "radio", token=token()) as radio:
        call_command(rooms.Command(), "la la")
        assert radio.receive_text() == "la la"
    with TestClient(rooms.api) as client, listening(client, "groups", token=token()) as groups:
        Group.objects.create(name="readers")
        assert groups.receive_json() == {"saved": "readers"}


async def test_rooms_in_a_coroutine(rooms: ModuleType) -> None:
    with pytest.raises(SynchronousOnlyOperation, match="await asend_text"):
        rooms.room("board").send_text("a dot")


@pytest.mark.django_db
def test_rooms_in_a_transaction(rooms: ModuleType, django_capture_on_commit_callbacks: Any) -> None:
    with TestClient(rooms.api) as client, listening(client, "groups", token=token()) as groups:
        with django_capture_on_commit_callbacks(execute=True):
            post(rooms.add_group, name="readers")
            assert groups.receive_text() == "one moment"
            groups.receive_nothing()
        assert groups.receive_json() == {"saved": "readers"}


def test_rooms_of_users(rooms: ModuleType) -> None:
    with (
        TestClient(rooms.api) as client,
        listening(client, "a", token=token()) as one,
        listening(client, "b", token=token()) as two,
        listening(client, "a", token=client.token_for(User(pk=8))) as other,
    ):
        post(rooms.warn, user="7")
        assert one.receive_json() == two.receive_json() == {"warning": "be kind"}
        post(rooms.ban, user="7")
        for each in (one, two):
            each.assert_closed(4403, "banned")
        other.receive_nothing()


def test_who_is_in_a_room(rooms: ModuleType) -> None:
    with TestClient(rooms.api) as client, client.websocket_connect("/ws/lounge") as ann:
        assert ann.receive_json() == {"here": 1}
        with client.websocket_connect("/ws/lounge") as bob:
            assert ann.receive_json() == bob.receive_json() == {"here": 2}
            assert rooms.room("lounge").local_members == 2
            assert rooms.room("lounge").count().is_complete
        assert ann.receive_json() == {"here": 1}


async def test_slow_members_of_a_room(rooms: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    taken: list[str] = []
    goes_on, is_last = asyncio.Event(), asyncio.Event()
    events: asyncio.Queue[Any] = asyncio.Queue()

    async def send(event: Any) -> None:
        if event["type"] == "websocket.send":
            await goes_on.wait()
            taken.append(event["text"])
            if taken[-1] == "152":
                is_last.set()

    events.put_nowait({"type": "websocket.connect"})
    application = rooms.api.as_asgi()(make_scope("/ws/prices"), events.get, send)
    served = asyncio.create_task(application)
    async with asyncio.timeout(10):
        while "prices" not in get_channel_layer().groups:  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.001)
        for number in range(153):  # the server stands at the first, and 32 wait
            await rooms.room("prices").asend_text(str(number))
        goes_on.set()
        await is_last.wait()
        events.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await served
        await say_farewell()
    assert taken == [str(number) for number in (0, *range(121, 153))]
    shown = re.search(r"```text\n(<Endpoint .*)\n```", (DOCS / "rooms.md").read_text())
    assert shown is not None
    assert shown[1] in [record.getMessage() for record in caplog.records]


async def test_the_gap_in_a_room(rooms: ModuleType) -> None:
    async with (
        AsyncTestClient(rooms.api) as client,
        client.websocket_connect("/ws/chat/lobby") as ws,
    ):
        await ws.send_text("I am in")
        await ws.receive_text()
        for number in (1, 3):
            numbered = {"sender": "somebody", "number": number, "text": str(number)}
            await get_channel_layer().group_send(
                "chat.lobby", {"type": "bolt_ws.message", **numbered}
            )
            assert await ws.receive_text() == str(number)
        assert await ws.receive_json(timeout=10) == {"missed": ["chat.lobby"]}


@pytest.mark.django_db(transaction=True)
async def test_rooms_and_channels(rooms: ModuleType) -> None:
    reader = WebsocketCommunicator(rooms.Reader.as_asgi(), "/")
    async with (
        AsyncTestClient(rooms.api) as client,
        client.websocket_connect("/ws/chat/lobby") as ws,
    ):
        assert (await reader.connect())[0]
        await ws.send_text("hi")
        assert await ws.receive_text() == await reader.receive_from() == "hi"
        await rooms.room("chat.lobby").asend_bytes(b"x", exclude="nobody")
        assert await ws.receive_bytes() == await reader.receive_from() == b"x"
        await reader.disconnect()
        await rooms.remind()
        assert await ws.receive_text() == "chat.lobby: closing soon"


def test_the_channel_layers_of_rooms() -> None:
    blocks = re.findall(
        r"^CHANNEL_LAYERS = (\{.*?^\})", (DOCS / "rooms.md").read_text(), re.M | re.S
    )
    assert len(blocks) == 2
    for block in blocks:
        layers = ast.literal_eval(block)
        with override_settings(CHANNEL_LAYERS=layers):
            name = layers["default"]["BACKEND"].rpartition(".")[2]
            assert type(get_layer()).__name__ == name
        for host in decode_hosts(layers["default"]["CONFIG"]["hosts"]):
            connection = create_pool(host).make_connection()  # it refuses options that it lacks
            assert connection.host == "localhost"
