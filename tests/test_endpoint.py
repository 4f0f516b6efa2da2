"""What a decorated handler becomes."""

import functools
import inspect
import traceback
import typing
from collections.abc import Callable
from typing import Any

import pytest
from channels.consumer import AsyncConsumer

from bolt_ws import BoltAPI, DeclarationError, Endpoint, WebSocket
from tests.support import ACCEPT, Connection, close, serve, talk, text


async def lobby(websocket: WebSocket, n: int = 0) -> int:
    """Where everybody meets."""
    await websocket.send_text(str(n))
    return n


def declare(handler: Callable[..., Any] = lobby, path: str = "/ws") -> Endpoint:
    return BoltAPI().websocket(path)(handler)


async def test_calling_it_calls_the_handler() -> None:
    said: list[str] = []

    async def handler(websocket: Any, n: int = 0) -> int:
        said.append(websocket)
        return n

    endpoint = declare(functools.wraps(lobby)(handler))
    assert await endpoint("fake", n=3) == 3
    assert said == ["fake"]


def test_it_goes_by_the_functions_name_and_docstring() -> None:
    endpoint = declare()
    assert (endpoint.__name__, endpoint.__doc__) == ("lobby", "Where everybody meets.")
    assert endpoint.__module__ == __name__
    assert endpoint.__wrapped__ is lobby  # type: ignore[attr-defined]
    assert repr(endpoint) == "<Endpoint 'lobby' at '/ws'>"


def test_its_consumer_does_too() -> None:
    api = BoltAPI()
    api.websocket("/ws")(lobby)
    consumer = api.routes[0].consumer
    assert issubclass(consumer, AsyncConsumer)
    assert (consumer.__name__, consumer.__doc__) == ("lobby", "Where everybody meets.")
    assert consumer.__module__ == __name__


async def test_a_traceback_shows_the_function() -> None:
    async def careless(websocket: WebSocket) -> None:
        raise LookupError("oops")

    with pytest.raises(LookupError) as caught:
        await Connection(serve(careless)).end()
    assert "careless" in [frame.name for frame in traceback.extract_tb(caught.tb)]


async def test_nothing_is_inspected_when_a_client_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    application = serve(lobby)

    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("inspected per connection")

    monkeypatch.setattr(inspect, "signature", forbidden)
    monkeypatch.setattr(typing, "get_type_hints", forbidden)
    assert await talk(application, query="n=3") == [ACCEPT, text("3"), close()]


async def test_a_callable_object_is_a_handler() -> None:
    class Handler:
        async def __call__(self, websocket: WebSocket, n: int) -> None:
            await websocket.send_text(f"called {n}")

    assert text("called 3") in await talk(serve(Handler()), query="n=3")


async def test_a_bound_method_is_a_handler() -> None:
    class Chat:
        async def handler(self, websocket: WebSocket, n: int) -> None:
            await websocket.send_text(f"bound {n}")

    assert text("bound 3") in await talk(serve(Chat().handler), query="n=3")


async def test_a_decorated_function_is_a_handler() -> None:
    def loud(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls.append("loud")
            return await handler(*args, **kwargs)

        return wrapper

    calls: list[str] = []
    assert text("3") in await talk(serve(loud(lobby)), query="n=3")
    assert calls == ["loud"]


@pytest.mark.parametrize("handler", [None, "lobby", 3])
def test_what_is_no_function_is_an_error(handler: Any) -> None:
    with pytest.raises(DeclarationError, match="is no function"):
        declare(handler)


def test_a_class_is_an_error() -> None:
    class Chat:
        async def __call__(self, websocket: WebSocket) -> None: ...

    with pytest.raises(DeclarationError, match="is no function"):
        declare(Chat)


def test_an_async_generator_is_an_error() -> None:
    async def handler(websocket: WebSocket) -> Any:
        yield 1

    with pytest.raises(DeclarationError, match="'handler' at '/ws'"):
        declare(handler)
