"""Both test clients behind one surface, so that one test is about both.

A test module says `client_of = clients.client_of` to have the fixture.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any

import pytest

from bolt_ws.testing import AsyncTestClient, AsyncWebSocketSession, TestClient
from bolt_ws.testing.async_client import AsyncWebSocketConnection

TIMEOUT = 0.05
"""Seconds to wait for what does not come."""
SOON = 10.0
"""Seconds that no wait of these tests takes."""

ClientOf = Callable[..., Any]


class Waited:
    """An `AsyncTestClient`, or what it gives, with each coroutine waited for in one event loop."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self.inner = inner
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not inspect.ismethod(value):
            return value
        return lambda *args, **kwargs: self._wait_for(value(*args, **kwargs))

    def __repr__(self) -> str:
        return repr(self.inner)

    def __enter__(self) -> Any:
        entered = self._wait_for(self.inner.__aenter__())
        return self if entered is self.inner else entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wait_for(self.inner.__aexit__(kind, error, traceback))

    def _wait_for(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            value = self._runner.run(value)
        if isinstance(value, AsyncIterator):
            return self._each_of(value)
        if isinstance(value, AsyncWebSocketConnection | AsyncWebSocketSession):
            return Waited(value, self._runner)
        return value

    def _each_of(self, values: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(values, self)

        while (value := self._runner.run(following())) is not self:
            yield value


@pytest.fixture(params=["TestClient", "AsyncTestClient"])
def client_of(request: pytest.FixtureRequest) -> Iterator[ClientOf]:
    """Make clients: `client_of(api, **options)`, each kind in turn."""
    if request.param == "TestClient":
        yield TestClient
        return
    with asyncio.Runner() as runner:
        yield lambda *args, **options: Waited(AsyncTestClient(*args, **options), runner)
