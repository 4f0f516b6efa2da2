"""`AsyncTestClient`: the test client for coroutines."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from asgiref.sync import sync_to_async

from .connecting import Connecting, ConnectOptions, Pending
from .environment import Environment, open_environment
from .login import session_cookie
from .reports import Unexpected, WebSocketRefused, check_refusal
from .session import AsyncWebSocketSession

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

__tracebackhide__ = True  # pytest shows the test's line and the handler's


class AsyncTestClient(Connecting):
    """A client for tests that are coroutines: it drives the application in the test's own loop.

    Entered with `async with`, it makes the test's database visible to that, and to the test's own
    calls of the ORM. Each of its connections does the same.
    """

    async def __aenter__(self) -> Self:
        """Make the test's database visible, and channel layers its own."""
        self._entered.append(await open_environment())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Undo that. Raises `LeftBehind` for what is left in groups of a channel layer."""
        await self._leave(self._entered.pop(), error)

    async def _leave(self, environment: Environment, error: BaseException | None) -> None:
        self._report(await environment.close(), error)

    def websocket_connect(
        self, path: str, **options: Unpack[ConnectOptions]
    ) -> AsyncWebSocketConnection:
        """Return what connects to `path`, which may have a query, when it is entered.

        As in `async with client.websocket_connect("/ws/chat") as ws`.
        """
        return AsyncWebSocketConnection(self, path, options)

    async def force_login(self, user: AbstractBaseUser) -> None:
        """Be `user` from now on: in `?token=`, and in Django's session where it has sessions."""
        self.user = user
        if self.user is None:
            return
        environment = await open_environment()  # the session is in the test's database
        try:
            self._session_cookie = await sync_to_async(session_cookie)(user)
        finally:
            await environment.close()

    async def logout(self) -> None:
        """Be nobody from now on."""
        self.user = None

    async def assert_refused(
        self, path: str, status: int | None = None, **options: Unpack[ConnectOptions]
    ) -> WebSocketRefused:
        """Connect, raise `Unexpected` unless that is refused with `status`, and return how."""
        connection = AsyncWebSocketConnection(self, path, options, raises=False)
        try:
            async with connection:
                pass
        except WebSocketRefused as refused:
            check_refusal(refused, status, connection.error)
            return refused
        raise Unexpected(f"Expected {path!r} to be refused, but it was accepted")


class AsyncWebSocketConnection(Pending):
    """A connection to be made when it is entered."""

    _session_class = AsyncWebSocketSession
    _with = "async with"

    def __init__(
        self, client: AsyncTestClient, path: str, options: ConnectOptions, *, raises: bool = True
    ) -> None:
        super().__init__(path, options, raises=raises)
        self._client = client
        self._entered: list[tuple[Environment, AsyncWebSocketSession]] = []

    async def __aenter__(self) -> AsyncWebSocketSession:
        """Connect. Raises `WebSocketRefused`, and what the application raises."""
        client, environment = self._client, await open_environment()
        try:
            if client.user is not None and client._session_cookie is None:
                await client.force_login(client.user)
            session = client._session(
                environment.lends, self._path, self._options, raises=self._raises
            )
            try:
                await session.__aenter__()
            finally:
                self.error = session.error
        except BaseException as error:
            await client._leave(environment, error)
            raise
        self._entered.append((environment, session))
        return session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave, wait for the application's end, and raise what it raised.

        Raises `LeftBehind` for what goes on after it.
        """
        environment, session = self._entered.pop()
        try:
            await session.__aexit__(kind, error, traceback)
        except BaseException as raised:
            error = raised
            raise
        finally:
            await self._client._leave(environment, error)
