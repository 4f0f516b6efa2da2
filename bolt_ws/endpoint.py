"""`Endpoint`: what a decorated handler becomes."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from .admission import Admission
from .auth.backends import Authentication
from .auth.guards import Guard
from .consumer import BoltConsumer, compile_consumer
from .exceptions import DeclarationError
from .parameters import compile_binder
from .routing import Pattern

Handler = Callable[..., Awaitable[Any]]


class Endpoint:
    """A handler at a path. Calling it calls the handler.

    `auth` and `guards` None are the API's. Raises `DeclarationError` for a handler that could
    never be called.
    """

    __name__: str

    def __init__(
        self,
        handler: Handler | Endpoint,
        path: str,
        *,
        name: str | None = None,
        auth: Sequence[Authentication] | None = None,
        guards: Sequence[Guard] | None = None,
    ) -> None:
        if isinstance(handler, Endpoint):  # one function under several paths
            handler = handler.handler
        self.handler: Handler = handler
        self.explicit_name = name
        self.name: str = name or str(getattr(handler, "__name__", type(handler).__name__))
        self.pattern = Pattern(path)
        self.auth = auth
        self.guards = guards
        self._consumers: dict[object, type[BoltConsumer]] = {}
        functools.update_wrapper(self, handler, updated=())
        _check_handler(handler, self)
        self.compile(self.pattern, auth or (), guards or ())  # says now what cannot work

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Call the handler."""
        return self.handler(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Endpoint {self.name!r} at {self.pattern.path!r}>"

    def compile(
        self, pattern: Pattern, auth: Sequence[Authentication], guards: Sequence[Guard]
    ) -> type[BoltConsumer]:
        """Return the consumer class that serves the handler at `pattern`, made once."""
        key = (pattern.route, *map(id, auth), None, *map(id, guards))
        if key not in self._consumers:
            taken = {name for backend in auth for name in backend.taken}
            with self._named_in_errors():
                binder = compile_binder(self.handler, pattern.names, taken)
            self._consumers[key] = compile_consumer(
                self.handler, Admission(auth, guards, binder), name=self.name, path=pattern.path
            )
        return self._consumers[key]

    @contextlib.contextmanager
    def _named_in_errors(self) -> Iterator[None]:
        try:
            yield
        except DeclarationError as error:
            raise DeclarationError(f"{self!r}: {error}") from None


def _check_handler(handler: Any, endpoint: Endpoint) -> None:
    if not callable(handler) or isinstance(handler, type):
        raise DeclarationError(f"{endpoint!r}: {handler!r} is no function")
    while isinstance(handler, functools.partial):
        handler = handler.func
    call = handler if inspect.isroutine(handler) else type(handler).__call__
    if not inspect.iscoroutinefunction(inspect.unwrap(call)):
        raise DeclarationError(f"{endpoint!r}: the handler must be declared with `async def`")
