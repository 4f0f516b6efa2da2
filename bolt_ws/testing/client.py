"""`TestClient`: the test client for plain functions. It is `AsyncTestClient`, waited for."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self, Unpack

from ..api import BoltAPI
from .async_client import AsyncTestClient
from .blocking_session import WebSocketSession
from .connecting import Connecting, ConnectOptions, Pending
from .login import session_cookie
from .reports import Unexpected, WebSocketRefused, check_refusal
from .runtime import Runtime, open_runtime
from .server_end import Application
from .session import AsyncWebSocketSession

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

__tracebackhide__ = True  # pytest shows the test's line and the handler's


class TestClient(Connecting):
    """A client for tests that are plain functions: the application runs in a thread of its own.

    What it does synchronously, in the ORM for instance, is done by the test's thread, while that
    waits in a call of a session. Entering the client with `with` has its connections share one
    event loop; each connection may also be entered by itself.
    """

    __test__: ClassVar = False  # pytest: this is no test class

    def __enter__(self) -> Self:
        """Start the event loop, unless another client has."""
        self._entered.append(open_runtime())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it, if nobody else uses it. Raises `LeftBehind` for what was left behind."""
        self._leave(self._entered.pop(), error)

    def _leave(self, runtime: Runtime, error: BaseException | None) -> None:
        self._report(runtime.close(), error)

    def websocket_connect(
        self, path: str, **options: Unpack[ConnectOptions]
    ) -> WebSocketConnection:
        """Return what connects to `path`, which may have a query, when it is entered.

        As in `with client.websocket_connect("/ws/chat") as ws`.
        """
        return WebSocketConnection(self, path, options)

    def force_login(self, user: AbstractBaseUser) -> None:
        """Be `user` from now on: in `?token=`, and in Django's session where it has sessions."""
        self.user = user
        if self.user is not None:
            self._session_cookie = session_cookie(user)

    def logout(self) -> None:
        """Be nobody from now on."""
        self.user = None

    def assert_refused(
        self, path: str, status: int | None = None, **options: Unpack[ConnectOptions]
    ) -> WebSocketRefused:
        """Connect, raise `Unexpected` unless that is refused with `status`, and return how."""
        connection = WebSocketConnection(self, path, options, raises=False)
        try:
            with connection:
                pass
        except WebSocketRefused as refused:
            check_refusal(refused, status, connection.error)
            return refused
        raise Unexpected(f"Expected {path!r} to be refused, but it was accepted")


class WebSocketConnection(Pending):
    """A connection to be made when it is entered."""

    _session_class = WebSocketSession
    _with = "with"

    def __init__(
        self, client: TestClient, path: str, options: ConnectOptions, *, raises: bool = True
    ) -> None:
        super().__init__(path, options, raises=raises)
        self._client = client
        self._entered: list[tuple[Runtime, AsyncWebSocketSession]] = []

    def __enter__(self) -> WebSocketSession:
        """Connect. Raises `WebSocketRefused`, and what the application raises."""
        client, runtime = self._client, open_runtime()
        try:
            if client.user is not None and client._session_cookie is None:
                client.force_login(client.user)
            session = client._session(runtime.lends, self._path, self._options, raises=self._raises)
            try:
                runtime.run(session.__aenter__(), session.patience())
            finally:
                self.error = session.error
        except BaseException as error:
            client._leave(runtime, error)
            raise
        self._entered.append((runtime, session))
        return WebSocketSession(session, runtime)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave, wait for the application's end, and raise what it raised.

        Raises `LeftBehind` for what goes on after it.
        """
        runtime, session = self._entered.pop()
        failure = error
        try:
            runtime.run(session.__aexit__(kind, error, traceback), session.patience())
        except BaseException as raised:
            failure = raised
            raise
        finally:
            self._client._leave(runtime, failure)


class WebSocketTestClient:
    """One connection to one path, in one line: for `with`, and awaited, for `async with`."""

    __test__: ClassVar = False

    def __init__(
        self,
        api_or_application: BoltAPI | Application,
        path: str,
        *,
        user: AbstractBaseUser | None = None,
        **options: Unpack[ConnectOptions],
    ) -> None:
        self._application = api_or_application
        self._path = path
        self._user = user
        self._options = options

    def __enter__(self) -> WebSocketSession:
        """Connect. Raises `WebSocketRefused`, and what the application raises."""
        client = TestClient(self._application, user=self._user)
        self._connection = client.websocket_connect(self._path, **self._options)
        return self._connection.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave, as the connection of a `TestClient` does."""
        self._connection.__exit__(kind, error, traceback)

    async def __aenter__(self) -> AsyncWebSocketSession:
        """Connect. Raises `WebSocketRefused`, and what the application raises."""
        client = AsyncTestClient(self._application, user=self._user)
        self._async_connection = client.websocket_connect(self._path, **self._options)
        return await self._async_connection.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave, as the connection of an `AsyncTestClient` does."""
        await self._async_connection.__aexit__(kind, error, traceback)
