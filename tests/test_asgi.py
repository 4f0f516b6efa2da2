"""The application of a project."""

import logging
from collections.abc import Iterator

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.routing import ProtocolTypeRouter
from channels.testing import WebsocketCommunicator
from django.test import override_settings

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.asgi import get_asgi_application, websocket_application
from tests.support import ACCEPT, Connection, close, status, talk

api = BoltAPI()


@api.websocket("/ws")
async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    with override_settings(BOLT_WS={"APIS": ["tests.test_asgi:api"]}):
        yield


async def test_websockets_are_served() -> None:
    assert await talk(get_asgi_application(), "/ws") == [ACCEPT, close()]


async def test_http_is_djangos() -> None:
    scope = {"type": "http", "method": "GET", "path": "/ws", "query_string": b"", "headers": []}
    client = ApplicationCommunicator(get_asgi_application(), scope)
    await client.send_input({"type": "http.request", "body": b""})
    assert (await client.receive_output())["status"] == 404
    assert b"<h1>Not Found</h1>" in (await client.receive_output())["body"]
    await client.wait()


async def test_an_unknown_path_gets_one_line_and_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    application = get_asgi_application()
    with caplog.at_level(logging.DEBUG):
        assert await status(application, "/nowhere", query="token=secret") == 404
    (record,) = [each for each in caplog.records if each.name != "asyncio"]
    assert record.name == "bolt_ws"
    assert record.exc_info is None
    assert "/nowhere" in record.getMessage()
    assert "secret" not in record.getMessage()


async def test_an_unknown_path_ends_with_one_message() -> None:
    connection = Connection(get_asgi_application(), "/nowhere")
    await connection.end()
    assert len(connection.sent) == len(connection.terminal) == 1
    client = WebsocketCommunicator(get_asgi_application(), "/nowhere")
    assert await client.connect() == (False, 4404)


async def test_in_a_protocoltyperouter_of_ones_own() -> None:
    application = ProtocolTypeRouter({"websocket": websocket_application()})
    assert await status(application, "/ws") == 101
    assert await status(application, "/nowhere") == 404


async def test_an_application_is_built_from_what_is_declared_then() -> None:
    global api
    first = websocket_application()
    api = BoltAPI()
    second = websocket_application()
    assert await status(first, "/ws") == 101
    assert await status(second, "/ws") == 404


async def test_a_client_that_left_an_unknown_path_at_once() -> None:
    connection = Connection(websocket_application(), "/nowhere")
    connection.leave()
    await connection.end()
    assert len(connection.terminal) <= 1


empty = BoltAPI()


def test_a_project_without_endpoints_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with override_settings(BOLT_WS={"APIS": ["tests.test_asgi:empty"]}):
        websocket_application()
    assert "No endpoint was found" in caplog.text
