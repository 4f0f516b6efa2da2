"""What the README and docs/ show is run, and does what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import override_settings

from bolt_ws.auth import create_jwt_for_user
from bolt_ws.conf import get_settings
from bolt_ws.testing import TestClient, WebSocketTimeout
from tests.docs.pages import PAGES, ROOT, run

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


async def test_authentication() -> None:
    module = run(DOCS / "authentication.md")
    application = module.api.as_asgi()
    assert await talk(application, f"/ws/me?token={token()}") == ['{"user":"7"}']
    assert await refusal(application, "/ws/me") == 4401
    assert await refusal(application, f"/ws/staff?token={token()}") == 4403
    moderator = module.token_for(User(pk=1, is_staff=True))
    assert await talk(application, f"/ws/staff?token={moderator}") == ["welcome"]
    assert await talk(application, "/ws/news") == ["hello stranger"]
    assert await refusal(application, "/ws/news?token=bad") == 4401
    assert await talk(application, f"/ws/club?token={moderator}") == ["hello, member"]
    assert await refusal(application, f"/ws/club?token={token()}") == 4403


def test_settings() -> None:
    with override_settings(BOLT_WS=run(DOCS / "settings.md").BOLT_WS):
        assert get_settings().apis == ["chat.api:api"]


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
