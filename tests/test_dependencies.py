"""`Depends`: what is called, how often, with what, and how it is torn down."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest

from bolt_ws.auth.backends import nonblocking
from bolt_ws.dependencies import Dependencies
from bolt_ws.exceptions import DeclarationError, Refusal
from bolt_ws.markers import Depends, Header, Query
from bolt_ws.parameters import compile_binder
from bolt_ws.websocket import WebSocket
from tests.test_binders import Twin, make_websocket, reject


def needs(*functions: Callable[..., Any], use_cache: bool = True) -> Callable[..., Any]:
    """Return a handler that depends on `functions`, as `d0`, `d1`, ..."""
    names = [f"d{number}" for number in range(len(functions))]
    names_and_defaults = ", ".join(f"{name}=defaults[{i}]" for i, name in enumerate(names))
    defaults = [Depends(function, use_cache=use_cache) for function in functions]
    handler: Callable[..., Any] = eval(
        f"lambda websocket, {names_and_defaults}: None", {"defaults": defaults}
    )
    return handler


async def resolve(
    *functions: Callable[..., Any],
    query: str = "",
    dependencies: Dependencies | None = None,
    **options: Any,
) -> Any:
    """Return what `functions` give, a list if there are several."""
    dependencies = Dependencies({}) if dependencies is None else dependencies
    binder = compile_binder(needs(*functions, **options), [])
    _, named = await binder.bind(make_websocket(query), dependencies)
    values = [named[f"d{number}"] for number in range(len(functions))]
    return values[0] if len(values) == 1 else values


async def close(dependencies: Dependencies, error: BaseException | None = None) -> Any:
    return await dependencies.close(error)


# What is called


def plain() -> str:
    return "plain"


async def coroutine() -> str:
    return "coroutine"


def generator() -> Iterator[str]:
    yield "generator"


async def async_generator() -> AsyncIterator[str]:
    yield "async generator"


class Made:
    def __init__(self, n: int = 1) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and other.n == self.n

    __hash__ = None  # type: ignore[assignment]

    def method(self) -> str:
        return "method"

    async def __call__(self, q: str = "q") -> str:
        return f"called {q}"


@dataclasses.dataclass
class Fields:
    n: int
    q: str = "q"


class Record(msgspec.Struct):
    n: int
    q: str = "q"


def hidden_coroutine() -> Any:
    return coroutine()


@nonblocking
def fast() -> str:
    return "fast"


@nonblocking
def fast_generator() -> Iterator[str]:
    yield "fast generator"


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (plain, "plain"),
        (coroutine, "coroutine"),
        (generator, "generator"),
        (async_generator, "async generator"),
        (Made, Made(5)),
        (Made(), "called x"),
        (Made().method, "method"),
        (Fields, Fields(5, "x")),
        (Record, Record(5, "x")),
        (functools.partial(Fields, q="bound"), Fields(5, "bound")),
        (functools.partial(Fields, 7), Fields(7, "x")),
        (hidden_coroutine, "coroutine"),
        (fast, "fast"),
        (fast_generator, "fast generator"),
        (nonblocking(lambda n: n), "5"),
    ],
)
async def test_anything_that_can_be_called(function: Any, value: Any) -> None:
    dependencies = Dependencies({})
    assert await resolve(function, query="n=5&q=x", dependencies=dependencies) == value
    assert await close(dependencies) is None


async def test_depends_in_an_annotation_or_as_a_default_and_without_a_callable() -> None:
    def handler(
        websocket: WebSocket,
        a: Annotated[str, Depends(plain)],
        c: Annotated[Fields, Depends()],
        b: str = Depends(coroutine),
        d: Fields = Depends(),  # noqa: B008
    ) -> None: ...

    binder = compile_binder(handler, [])
    websocket = make_websocket("n=5")
    _, named = await binder.bind(websocket, Dependencies({}))
    assert named == {
        "websocket": websocket,
        "a": "plain",
        "b": "coroutine",
        "c": Fields(5),
        "d": Fields(5),
    }


async def test_synchronous_code_runs_in_djangos_thread_unless_it_is_marked() -> None:
    def where() -> threading.Thread:
        return threading.current_thread()

    def where_generator() -> Iterator[threading.Thread]:
        yield threading.current_thread()
        threads.append(threading.current_thread())

    threads: list[threading.Thread] = []
    dependencies = Dependencies({})
    functions = [where, where_generator, nonblocking(lambda: where())]
    first, second, third = await resolve(*functions, dependencies=dependencies)
    assert first is second is not threading.current_thread()
    assert third is threading.current_thread()
    await close(dependencies)
    assert threads == [first]


async def test_a_subclass_of_a_marked_class_is_not_marked() -> None:
    @nonblocking
    class Marked:
        def __init__(self) -> None:
            self.thread = threading.current_thread()

    class Unmarked(Marked):
        pass

    marked, unmarked = await resolve(Marked, Unmarked)
    assert marked.thread is threading.current_thread() is not unmarked.thread


@pytest.mark.django_db(transaction=True)
async def test_a_plain_function_may_use_the_database() -> None:
    def count() -> int:
        try:
            return User.objects.count()
        finally:  # the thread outlives the test, and no other test has leave to use the database
            connection.connection.close()
            connection.connection = None

    assert await resolve(count) == 0


async def test_stop_iteration_does_not_hang() -> None:
    def stop() -> None:
        next(iter(()))

    with pytest.raises(RuntimeError, match="stop raised StopIteration"):
        await asyncio.wait_for(resolve(stop), 5)


# With what


async def test_a_dependency_has_the_same_kinds_of_parameters() -> None:
    def dependency(
        room: int,
        q: str,
        connection: WebSocket,
        asked: HttpRequest,
        x_id: Annotated[int, Header()],
        nested: Annotated[str, Depends(plain)],
        n: Annotated[int, Query(ge=1)] = 1,
    ) -> tuple[Any, ...]:
        return room, q, connection, asked.GET["q"], x_id, nested, n

    websocket = make_websocket("q=x", headers={"x-id": "7"}, room="5")
    binder = compile_binder(needs(dependency), ["room"])
    _, named = await binder.bind(websocket, Dependencies({}))
    assert named["d0"] == (5, "x", websocket, "x", 7, "plain", 1)


@pytest.mark.parametrize("name", ["websocket", "ws"])
async def test_a_connection_without_annotation_is_known_by_its_name(name: str) -> None:
    dependency = eval(f"lambda q, {name}: (q, {name})")
    q, websocket = await resolve(dependency, query="q=x")
    assert q == "x"
    assert isinstance(websocket, WebSocket)


async def test_the_first_parameter_of_a_dependency_is_one_like_others() -> None:
    assert await resolve(lambda q: q, query="q=x") == "x"


async def test_a_request_without_annotation_is_known_by_its_name() -> None:
    assert isinstance(await resolve(lambda request: request), HttpRequest)


async def test_positional_only_parameters() -> None:
    def dependency(n: int, /, q: str) -> tuple[int, str]:
        return n, q

    assert await resolve(dependency, query="n=5&q=x") == (5, "x")


async def test_no_dependency_runs_where_anything_is_wrong() -> None:
    async def dependency(n: int) -> None:
        pytest.fail("ran")

    async def outer(made: Annotated[None, Depends(dependency)]) -> None:
        pytest.fail("ran")

    outer.__annotations__["made"] = Annotated[None, Depends(dependency)]
    with pytest.raises(Refusal) as refused:
        await resolve(plain, outer, query="n=x")
    assert refused.value.detail == "Invalid value 'x' for parameter 'n': expected int"


# How often


async def test_each_is_called_once_a_connection() -> None:
    calls: list[str] = []

    async def inner() -> int:
        calls.append("inner")
        return len(calls)

    async def left(value: int = Depends(inner)) -> int:
        return value

    async def right(value: int = Depends(inner)) -> int:
        return value

    dependencies = Dependencies({})
    assert await resolve(left, right, inner, dependencies=dependencies) == [1, 1, 1]
    assert await resolve(inner, dependencies=dependencies) == 1  # of another function, on_close
    assert await resolve(inner) == 2  # of another connection
    assert calls == ["inner", "inner"]


async def test_none_is_remembered_too() -> None:
    calls: list[None] = []

    async def dependency() -> None:
        calls.append(None)

    assert await resolve(dependency, dependency) == [None, None]
    assert len(calls) == 1


async def test_use_cache_false_calls_each_time() -> None:
    calls: list[int] = []

    async def count() -> int:
        calls.append(1)
        return len(calls)

    assert await resolve(count, count, use_cache=False) == [1, 2]

    def handler(
        websocket: Any,
        a: int = Depends(count),
        b: int = Depends(count, use_cache=False),
        c: int = Depends(count),
    ) -> None: ...

    handler.__annotations__.clear()
    _, named = await compile_binder(handler, []).bind(make_websocket(), Dependencies({}))
    assert [named[name] for name in "abc"] == [3, 4, 3]


async def test_two_equal_objects_without_hash_are_two_dependencies() -> None:
    @dataclasses.dataclass
    class Checker:
        seen: list[str]

        async def __call__(self) -> list[str]:
            return self.seen

    a, b = Checker([]), Checker([])
    left, right = await resolve(a, b)
    assert left is a.seen
    assert right is b.seen


# Teardown


class Log(list[str]):
    """Generators that write down what happens to them."""

    def generator(self, name: str, is_async: bool = True) -> Callable[..., Any]:
        @contextlib.contextmanager
        def logged() -> Iterator[None]:
            self.append(f"begin {name}")
            try:
                yield
            except BaseException as error:
                self.append(f"{name} got {error!r}")
                raise
            finally:
                self.append(f"end {name}")

        def plain_generator() -> Iterator[str]:
            with logged():
                yield name

        async def async_generator() -> AsyncIterator[str]:
            with logged():
                yield name

        return async_generator if is_async else plain_generator


@pytest.mark.parametrize("is_async", [True, False])
async def test_teardown_is_in_reverse(is_async: bool) -> None:
    log, dependencies = Log(), Dependencies({})
    functions = [log.generator("a", is_async), log.generator("b", True)]
    assert await resolve(*functions, dependencies=dependencies) == ["a", "b"]
    assert log == ["begin a", "begin b"]
    assert await close(dependencies) is None
    assert log[2:] == ["end b", "end a"]
    assert await close(dependencies) is None  # once
    assert len(log) == 4


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    "error", [ValueError("x"), asyncio.CancelledError(), StopIteration(), StopAsyncIteration()]
)
async def test_the_handlers_exception_is_thrown_in(is_async: bool, error: BaseException) -> None:
    log, dependencies = Log(), Dependencies({})
    functions = [log.generator("a", is_async), log.generator("b", not is_async)]
    await resolve(*functions, dependencies=dependencies)
    assert await close(dependencies, error) is error
    assert log[2:] == [f"b got {error!r}", "end b", f"a got {error!r}", "end a"]


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_may_swallow_the_exception(is_async: bool) -> None:
    def plain_swallow() -> Iterator[None]:
        with contextlib.suppress(ValueError):
            yield

    async def async_swallow() -> AsyncIterator[None]:
        with contextlib.suppress(ValueError):
            yield

    log, dependencies = Log(), Dependencies({})
    swallow = async_swallow if is_async else plain_swallow
    await resolve(log.generator("a"), swallow, dependencies=dependencies)
    assert await close(dependencies, ValueError("x")) is None
    assert log == ["begin a", "end a"]


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("error", [None, ValueError("x")])
async def test_a_teardown_that_fails_stops_no_other(is_async: bool, error: Any) -> None:
    def plain_failing() -> Iterator[None]:
        try:
            yield
        finally:
            raise KeyError("teardown")

    async def async_failing() -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise KeyError("teardown")

    log, dependencies = Log(), Dependencies({})
    failing = async_failing if is_async else plain_failing
    await resolve(log.generator("a"), failing, log.generator("b"), dependencies=dependencies)
    left = await close(dependencies, error)
    assert repr(left) == "KeyError('teardown')"
    assert left.__context__ is error
    assert log[-2:] == ["a got KeyError('teardown')", "end a"]
    assert "end b" in log


async def test_what_was_begun_is_torn_down_where_a_later_one_raises() -> None:
    async def refusing() -> None:
        raise Refusal(403, "no", "No")

    log, dependencies = Log(), Dependencies({})
    with pytest.raises(Refusal) as refused:
        await resolve(log.generator("a"), refusing, log.generator("b"), dependencies=dependencies)
    assert await close(dependencies, refused.value) is refused.value
    assert log == ["begin a", f"a got {refused.value!r}", "end a"]


async def test_a_thread_that_nobody_waited_for_is_torn_down() -> None:
    log: list[str] = []
    going, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[None]:
        going.set()
        go_on.wait(5)
        log.append("begin")
        yield
        log.append("end")

    dependencies = Dependencies({})
    task = asyncio.create_task(resolve(slow, dependencies=dependencies))
    await asyncio.to_thread(going.wait, 5)
    task.cancel()
    await asyncio.sleep(0.05)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await close(dependencies) is None
    assert log == ["begin", "end"]


async def test_a_cancelled_teardown_goes_on_with_the_next_and_is_raised() -> None:
    async def hanging() -> AsyncIterator[None]:
        yield
        await asyncio.sleep(60)

    log, dependencies = Log(), Dependencies({})
    await resolve(log.generator("a"), hanging, dependencies=dependencies)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await close(dependencies)
    assert log[-1] == "end a"


async def test_without_generators_an_error_is_what_it_was() -> None:
    dependencies, error = Dependencies({}), ValueError()
    await resolve(plain, dependencies=dependencies)
    assert await close(dependencies, error) is error


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_that_yields_nothing_or_twice(is_async: bool) -> None:
    async def async_nothing() -> AsyncIterator[None]:
        return
        yield

    def plain_nothing() -> Iterator[None]:
        return
        yield

    async def async_twice() -> AsyncIterator[None]:
        yield
        yield

    def plain_twice() -> Iterator[None]:
        yield
        yield

    with pytest.raises(RuntimeError, match="generator didn't yield"):
        await resolve(async_nothing if is_async else plain_nothing)
    dependencies = Dependencies({})
    await resolve(async_twice if is_async else plain_twice, dependencies=dependencies)
    assert "generator didn't stop" in str(await close(dependencies))


# Overrides


async def bind(
    function: Callable[..., Any], overrides: Mapping[Any, Any], query: str = ""
) -> dict[str, Any]:
    binder = compile_binder(function, [])
    _, named = await binder.bind(make_websocket(query), Dependencies(overrides))
    return named


async def test_an_override_stands_in_for_a_dependency_wherever_it_is() -> None:
    async def outer(inner: str = Depends(plain)) -> str:
        return f"outer {inner}"

    async def instead(n: int, q: str = Depends(coroutine)) -> str:
        return f"instead {n} {q}"

    named = await bind(needs(plain, outer), {plain: instead}, "n=5")
    assert named["d0"] == "instead 5 coroutine"
    assert named["d1"] == "outer instead 5 coroutine"


async def test_the_parameters_of_an_override_are_read_instead() -> None:
    async def dependency(n: int) -> int:
        return n

    assert (await bind(needs(dependency), {dependency: plain}))["d0"] == "plain"
    with pytest.raises(Refusal, match="Missing parameter 'n'"):
        await bind(needs(plain), {plain: dependency})


async def test_overrides_are_looked_up_at_each_connect_and_compiled_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import bolt_ws.parameters

    overrides: dict[Any, Any] = {}
    binder = compile_binder(needs(plain), [])

    async def value() -> Any:
        return (await binder.bind(make_websocket(), Dependencies(overrides)))[1]["d0"]

    assert await value() == "plain"
    overrides[plain] = coroutine
    assert await value() == "coroutine"
    monkeypatch.setattr(bolt_ws.parameters, "Signature", lambda *_: pytest.fail("compiled again"))
    assert await value() == "coroutine"
    overrides.clear()
    assert await value() == "plain"


async def test_overrides_that_cannot_work() -> None:
    async def wraps(inner: str = Depends(plain)) -> str:
        return inner

    async def strange(n: dict[str, str]) -> None: ...

    with pytest.raises(DeclarationError, match="wraps depends on what it overrides"):
        await bind(needs(plain), {plain: wraps})
    with pytest.raises(DeclarationError, match="5 cannot be called"):
        await bind(needs(plain), {plain: 5})
    with pytest.raises(DeclarationError, match="dependency strange: parameter 'n'"):
        await bind(needs(plain), {plain: strange})


async def test_a_dependency_without_hash_is_not_overridden() -> None:
    assert (await bind(needs(Made()), {plain: coroutine}))["d0"] == "called q"


# What is wrong at declaration


async def first(value: Annotated[int, Depends("second")]) -> int:  # replaced below
    return value


async def second(value: Annotated[int, Depends(first)]) -> int:
    return value


async def alone(value: int) -> int:
    return value


first.__annotations__["value"] = Annotated[int, Depends(second)]
alone.__annotations__["value"] = Annotated[int, Depends(alone)]


@pytest.mark.parametrize(
    ("function", "circle"),
    [(first, "first -> second -> first"), (alone, "alone -> alone")],
)
def test_a_circle_is_an_error(function: Any, circle: str) -> None:
    message = reject(needs(function))
    assert message.endswith(f"dependencies go round in a circle: {circle}")
    assert message.startswith(f"parameter 'd0': dependency {function.__name__}: ")


def test_an_error_names_the_dependency_and_its_parameter() -> None:
    def inner(n: dict[str, str]) -> None: ...

    def outer(made: None = Depends(inner)) -> None: ...

    assert reject(needs(outer)) == (
        "parameter 'd0': dependency outer: parameter 'made': dependency inner: "
        "parameter 'n': dict[str, str] cannot be read from a URL"
    )


@pytest.mark.parametrize(
    ("annotation", "default", "error"),
    [
        (Annotated[str, Depends(plain)], "x", "a default that would never be used"),
        (Annotated[str, Depends(plain)], Depends(plain), "exclude each other"),
        (Annotated[str, Query()], Depends(plain), "exclude each other"),
        (Annotated["str", Depends()], None, "is no class or function"),
    ],
)
def test_depends_that_makes_no_sense(annotation: Any, default: Any, error: str) -> None:
    def handler(websocket: WebSocket, n: Any) -> None: ...

    handler.__annotations__["n"] = annotation
    if default is not None:
        handler.__defaults__ = (default,)
    elif error == "is no class or function":
        handler = needs(plain)
        handler.__defaults__ = (Depends(),)
        error = "Depends() without a callable needs an annotation to call"
    assert error in reject(handler)


def test_what_cannot_be_called_is_an_error() -> None:
    with pytest.raises(DeclarationError, match="'x' cannot be called"):
        Depends("x")  # type: ignore[arg-type]


def test_the_blocking_connection_is_not_for_dependencies() -> None:
    def dependency(connection: Twin) -> None: ...

    assert reject(needs(dependency)) == (
        "parameter 'd0': dependency dependency: parameter 'connection': "
        "a dependency gets the WebSocket; annotate it so"
    )


def test_what_authentication_takes_no_dependency_gets() -> None:
    def dependency(token: str) -> None: ...

    assert "authentication takes ?token= away" in reject(needs(dependency), taken={"token"})
