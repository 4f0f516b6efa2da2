"""What `Depends` asks for: called once a connection, torn down at its end."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from asgiref.sync import iscoroutinefunction
from channels.db import database_sync_to_async

from .exceptions import DeclarationError
from .handshake import Handshake
from .in_place import TookTooLong, within

if TYPE_CHECKING:
    from .parameters import Binder

logger = logging.getLogger("bolt_ws")

TEARDOWN_TIMEOUT = 5.0
"""Seconds that a dependency has to end."""
CANCELLED_TIMEOUT = 2.0
"""Seconds that a thread has to end its step after the connection's task was cancelled."""

T = TypeVar("T")
Function = Callable[..., Any]
Arguments = dict[str, Any]
Overrides = Mapping[Function, Function]


class Dependency:
    """A callable that `Depends` names, compiled: its binder, and how it is called."""

    __slots__ = ("_compile", "binder", "call", "function", "key", "name")

    def __init__(
        self, function: Function, binder: Binder, compile_override: Callable[[Function], Dependency]
    ) -> None:
        self.function = function
        self.key = identify(function)
        self.name = name_of(function)
        self.binder = binder
        self.call = _compile_call(function)
        self._compile = compile_override

    def overridden(self, overrides: Overrides) -> Dependency:
        """Return the dependency that stands in for this one, or itself.

        Raises `DeclarationError` for one that cannot.
        """
        if self.key is not self.function or self.function not in overrides:
            return self
        return self._compile(overrides[self.function])


class Need(NamedTuple):
    """A parameter that a dependency fills."""

    name: str
    dependency: Dependency
    use_cache: bool


class Dependencies:
    """The dependencies of one connection: what was made of them, and what tears it down."""

    __slots__ = ("_arguments", "_exits", "_overrides", "_values")

    def __init__(self, overrides: Overrides) -> None:
        self._overrides = dict(overrides) if overrides else None  # as they are at connect
        self._arguments: dict[Dependency, Arguments | None] = {}
        self._values: dict[object, Any] = {}
        self._exits: list[AbstractAsyncContextManager[Any]] = []

    def read(self, need: Need, websocket: Handshake, errors: list[str]) -> None:
        """Read the parameters of a dependency, and of all that it depends on in its turn.

        What is wrong with them is added to `errors`.
        """
        dependency = self._choose(need)
        if dependency not in self._arguments:
            self._arguments[dependency] = None
            self._arguments[dependency] = dependency.binder.read(websocket, self, errors)
        elif self._arguments[dependency] is None:
            raise DeclarationError(
                f"dependency_overrides: {dependency.name} depends on what it overrides"
            )

    async def resolve(self, need: Need, websocket: Handshake) -> Any:
        """Return what a dependency gives, after `read`. Raises whatever it raises."""
        dependency = self._choose(need)
        if need.use_cache and dependency.key in self._values:
            return self._values[dependency.key]
        arguments = dict(self._arguments[dependency] or {})
        await dependency.binder.resolve(arguments, websocket, self)
        value = await dependency.call(self, *dependency.binder.arrange(arguments))
        if need.use_cache:
            self._values[dependency.key] = value
        return value

    def _choose(self, need: Need) -> Dependency:
        return need.dependency.overridden(self._overrides) if self._overrides else need.dependency

    def push(self, manager: AbstractAsyncContextManager[Any]) -> None:
        """Have `manager` left by `close`."""
        self._exits.append(manager)

    async def close(self, error: BaseException | None) -> BaseException | None:
        """Tear down all that was begun, the last first, and return the error that is left.

        `error` is thrown into each generator, which may swallow it or raise another. Each one is
        torn down whatever the others do, and has `TEARDOWN_TIMEOUT` seconds. A cancellation from
        outside interrupts one, and is raised at the end.
        """
        cancelled: asyncio.CancelledError | None = None
        while self._exits:
            manager = self._exits.pop()
            details = (type(error), error, error.__traceback__) if error else (None, None, None)
            try:
                if await within(TEARDOWN_TIMEOUT, manager.__aexit__(*details)):
                    error = None
            except asyncio.CancelledError as raised:
                cancelled = raised
            except TookTooLong:
                logger.error("A dependency took over %g s to end", TEARDOWN_TIMEOUT)
            except Exception as raised:
                error = raised
        if cancelled is not None:
            raise cancelled
        return error


async def unbroken(awaitable: Awaitable[T]) -> T:
    """Await what is done in a thread so that a cancellation does not keep it from starting."""
    task = asyncio.ensure_future(awaitable)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=CANCELLED_TIMEOUT)
        raise


def identify(function: Function) -> object:
    """Return what a callable is known by: itself, or its id where it has no hash."""
    try:
        hash(function)
    except TypeError:
        return id(function)
    return function


def name_of(function: Function) -> str:
    """Return a callable's name, for errors."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def body_of(function: Function) -> Any:
    """Return the function that runs when `function` is called, or the class."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type) or inspect.isroutine(function):
        return function
    return type(function).__call__


def _call(function: Function, /, *positional: Any, **named: Any) -> Any:
    try:
        return function(*positional, **named)
    except StopIteration as error:  # which no future can hold
        raise RuntimeError(f"{name_of(function)} raised StopIteration") from error


# Where Django's synchronous code runs.
_in_thread: Callable[..., Any] = database_sync_to_async(_call)


class _Threaded(AbstractAsyncContextManager[Any]):
    """A plain generator, begun and torn down in a thread.

    It is one thread, so that what tears down runs after what began, even if nobody waited for that.
    """

    def __init__(self, manager: AbstractContextManager[Any]) -> None:
        self._manager = manager
        self._begun = False

    async def __aenter__(self) -> Any:
        return await _in_thread(self._enter)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        swallowed: bool | None = await unbroken(_in_thread(self._leave, kind, error, traceback))
        return swallowed

    def _enter(self) -> Any:
        value = self._manager.__enter__()
        self._begun = True
        return value

    def _leave(self, *details: Any) -> bool | None:
        return self._manager.__exit__(*details) if self._begun else None


class _Inline(AbstractAsyncContextManager[Any]):
    """A plain generator that never blocks, torn down in the event loop."""

    def __init__(self, manager: AbstractContextManager[Any]) -> None:
        self._manager = manager

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._manager.__exit__(kind, error, traceback)


def _compile_call(function: Function) -> Callable[..., Awaitable[Any]]:
    """Return what calls `function`, and puts what has to be torn down on the stack."""
    body = body_of(function)
    # A class is marked itself, or not at all: what it inherits from knows nothing of it.
    is_nonblocking = "nonblocking" in (vars(body) if isinstance(body, type) else dir(body))
    if inspect.isasyncgenfunction(body):
        return _calls_async_generator(function)
    if inspect.isgeneratorfunction(body):
        return _calls_generator(function, is_nonblocking)
    return _calls_function(function, is_nonblocking or iscoroutinefunction(body))


def _calls_async_generator(function: Function) -> Callable[..., Awaitable[Any]]:
    make = asynccontextmanager(function)

    async def call(dependencies: Dependencies, positional: list[Any], named: Arguments) -> Any:
        manager = make(*positional, **named)
        value = await manager.__aenter__()
        dependencies.push(manager)
        return value

    return call


def _calls_generator(function: Function, is_nonblocking: bool) -> Callable[..., Awaitable[Any]]:
    make = contextmanager(function)

    async def call(dependencies: Dependencies, positional: list[Any], named: Arguments) -> Any:
        manager = make(*positional, **named)
        if is_nonblocking:
            value = manager.__enter__()
            dependencies.push(_Inline(manager))
            return value
        threaded = _Threaded(manager)
        # Before it is entered: a cancellation does not stop the thread.
        dependencies.push(threaded)
        return await threaded.__aenter__()

    return call


def _calls_function(function: Function, is_nonblocking: bool) -> Callable[..., Awaitable[Any]]:
    async def call(dependencies: Dependencies, positional: list[Any], named: Arguments) -> Any:
        if is_nonblocking:
            value = function(*positional, **named)
        else:
            value = await _in_thread(function, *positional, **named)
        # Not only of a coroutine function: a plain decorator around one hides what it is.
        return await value if inspect.iscoroutine(value) else value

    return call
