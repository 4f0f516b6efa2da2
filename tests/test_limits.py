"""How many may be connected."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bolt_ws import BlockingWebSocket, WebSocket, limits
from bolt_ws.auth import Authentication, AuthenticationFailed, Guard, Identity
from bolt_ws.auth.backends import nonblocking
from bolt_ws.exceptions import Refusal
from bolt_ws.handshake import Handshake
from bolt_ws.limits import Lease
from tests.support import TIMEOUT, Application, Connection, make_scope, serve

A, B, C = "203.0.113.1", "203.0.113.2", "203.0.113.3"


class Clock:
    """What the limits take for the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A time that stands still, nobody connected before the test, and nobody left after it."""
    clock = Clock()
    monkeypatch.setattr(limits, "monotonic", clock)
    monkeypatch.setattr(limits, "_rates", limits._Rates())
    monkeypatch.setattr(limits, "_places", limits._Places())
    yield clock
    assert limits._places._counts == {}
    assert not limits._places._returned


class ByQuery(Authentication):
    """Whoever says so."""

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Identity | None:
        name = websocket.query_params.get("user")
        return Identity(name) if name else None


def limit(**settings: Any) -> Any:
    return override_settings(BOLT_WS={name.upper(): value for name, value in settings.items()})


def scope_of(client: str | None = A, **more: Any) -> dict[str, Any]:
    return make_scope(client=None if client is None else [client, 50000], **more)


def take(client: str | None = A, **scope: Any) -> Lease:
    lease = Lease()
    lease.take(Handshake(scope_of(client, **scope)))
    return lease


def refusal(act: Callable[[], Any]) -> tuple[int, str]:
    """Return the status and `Retry-After` that `act` refuses with."""
    with pytest.raises(Refusal) as caught:
        act()
    assert caught.value.code == "too_many_connections"
    return caught.value.status, caught.value.headers["Retry-After"]


def release(*leases: Lease) -> None:
    for lease in leases:
        lease.release()


# Each limit at its boundary


def test_without_limits_nothing_is_counted() -> None:
    leases = [take() for _ in range(100)]
    for lease in leases:
        lease.take_user("7")
    assert limits._places._counts == {}
    assert not limits._rates._full_at
    release(*leases)


@limit(max_connections=2)
def test_a_full_process() -> None:
    first, second = take(A), take(B)
    assert refusal(lambda: take(C)) == (503, "5")
    first.release()
    third = take(C)
    assert refusal(take) == (503, "5")
    release(second, third)


@limit(max_connections_per_client=2)
def test_a_client_with_too_many() -> None:
    first, second, other = take(A), take(A), take(B)
    assert refusal(lambda: take(A)) == (429, "5")
    second.release()
    second = take(A)
    assert refusal(lambda: take(A)) == (429, "5")
    release(first, second, other)


@limit(max_connections_per_user=2)
def test_a_user_with_too_many() -> None:
    leases = [take(client) for client in (A, B, C, A)]
    leases[0].take_user("7")
    leases[1].take_user("7")
    leases[3].take_user("8")
    assert refusal(lambda: leases[2].take_user("7")) == (429, "5")
    leases[0].release()
    leases[2].take_user("7")
    release(*leases)


@limit(max_connections=2, max_connections_per_client=1)
def test_whoever_is_refused_takes_no_place_of_the_process() -> None:
    first = take(A)
    refused = Lease()
    refusal(lambda: refused.take(Handshake(scope_of(A))))
    second = take(B)  # before the refused one is released
    release(first, refused, second)


def test_release_twice() -> None:
    with limit(max_connections=1):
        first = take()
        first.release()
        first.release()
        second = take()
        first.release()
        assert refusal(take) == (503, "5")
        second.release()


def test_limits_that_change_while_connected() -> None:
    with limit(max_connections=1, max_connections_per_client=1):
        first = take()
    with limit(max_connections=2):
        second = take()
        assert refusal(take) == (503, "5")
    release(first, second)


@pytest.mark.parametrize("value", [0, -1, "10", 1.5, True])
@pytest.mark.parametrize(
    "name", ["max_connections", "max_connections_per_client", "max_connections_per_user"]
)
def test_what_is_no_limit(name: str, value: Any) -> None:
    with limit(**{name: value}), pytest.raises(ImproperlyConfigured, match=name.upper()):
        take()


# Connects a second


@pytest.mark.parametrize(
    ("rate", "burst", "wait", "header"),
    [
        (1, 1, 1, "1"),
        (5, 5, 0.2, "1"),
        (100, 100, 0.01, "1"),
        (2.5, 2, 0.2, "1"),
        (0.1, 1, 10, "10"),
    ],
)
def test_the_rate(clock: Clock, rate: float, burst: int, wait: float, header: str) -> None:
    with limit(max_connects_per_second=rate):
        for _ in range(burst):
            take(A).release()  # it is connects that count, not connections
        assert refusal(lambda: take(A)) == (429, header)
        take(B)
        clock.now += wait * 0.9
        assert refusal(lambda: take(A))[0] == 429
        clock.now += wait * 0.1 + 1e-9
        take(A)
        assert refusal(lambda: take(A)) == (429, header)
        clock.now += 1000
        for _ in range(burst):
            take(A)
        assert refusal(lambda: take(A)) == (429, header)


@limit(max_connects_per_second=10)
def test_refused_connects_cost_no_token(clock: Clock) -> None:
    for _ in range(10):
        take()
    for _ in range(100):
        refusal(take)
    clock.now += 0.1000001
    take()


@limit(max_connects_per_second=10)
def test_the_rate_in_the_long_run(clock: Clock) -> None:
    admitted = 0
    for _ in range(1000):
        clock.now += 0.01
        try:
            take()
        except Refusal:
            continue
        admitted += 1
    assert 105 <= admitted <= 110  # ten seconds, and the burst


@limit(max_connects_per_second=1)
def test_addresses_that_are_gone_are_forgotten(clock: Clock) -> None:
    for number in range(100):
        take(f"10.0.0.{number}")
    assert len(limits._rates._full_at) == 100
    clock.now += 1.5
    for number in range(100):
        take(f"10.0.1.{number}")
    assert set(limits._rates._full_at) == {f"10.0.1.{number}" for number in range(100)}


@limit(max_connects_per_second=1)
def test_a_time_without_connects_is_not_saved_up(clock: Clock) -> None:
    for number in range(100):
        take(f"10.0.0.{number}")
    clock.now += 1000
    take("10.0.0.99")  # too far behind to be forgotten by now
    refusal(lambda: take("10.0.0.99"))


@limit(max_connects_per_second=2)
def test_whoever_comes_back_is_not_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ADDRESSES", 2)
    for client in (A, B, A, C):
        take(client)
    assert refusal(lambda: take(A))[0] == 429


@limit(max_connects_per_second=1)
def test_many_addresses_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ADDRESSES", 50)
    for number in range(200):
        take(f"10.0.0.{number}")
        assert len(limits._rates._full_at) <= 51
    refusal(lambda: take("10.0.0.199"))
    take("10.0.0.0")  # the oldest was forgotten


# Who is one client


@limit(max_connections_per_client=1, max_connects_per_second=1000)
def test_ipv6_is_counted_by_its_network() -> None:
    first = take("2001:db8:0:1::1")
    assert refusal(lambda: take("2001:db8:0:1:ffff::2"))[0] == 429
    other = take("2001:db8:0:2::1")
    mapped = take(f"::ffff:{A}")
    assert refusal(lambda: take(A))[0] == 429
    assert set(limits._rates._full_at) == {"2001:db8:0:1::/64", "2001:db8:0:2::/64", A}
    release(first, other, mapped)


@limit(max_connections_per_client=1)
def test_whoever_is_unknown_is_one_client() -> None:
    first = take(None)
    assert refusal(lambda: take(None))[0] == 429
    assert refusal(lambda: take("testclient"))[0] == 429
    first.release()


def forwarded(client: str) -> dict[str, Any]:
    return {"headers": [(b"host", b"testserver"), (b"x-forwarded-for", client.encode())]}


@limit(max_connections_per_client=1, trusted_proxies=["127.0.0.1"])
def test_two_clients_behind_one_proxy_are_two() -> None:
    first, second = take("127.0.0.1", **forwarded(A)), take("127.0.0.1", **forwarded(B))
    assert refusal(lambda: take("127.0.0.1", **forwarded(f"{C}, {A}")))[0] == 429
    release(first, second)


@limit(max_connections_per_client=1, max_connects_per_second=2, trusted_proxies=["127.0.0.1"])
def test_a_client_cannot_pass_for_others() -> None:
    first = take(A)
    for number in range(10):
        assert refusal(lambda n=number: take(A, **forwarded(f"10.0.0.{n}")))[0] == 429
    first.release()
    assert list(limits._rates._full_at) == [A]


async def test_a_trusted_proxy_that_is_none_refuses(caplog: pytest.LogCaptureFixture) -> None:
    application = serve(echo)
    with limit(max_connections_per_client=1, trusted_proxies=["proxy"]):
        start, body = await Connection(application, deny=True).end()
    assert start["status"] == 500
    assert b"proxy" not in body["body"]
    assert "TRUSTED_PROXIES" in caplog.text


# Every way out


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def blocking_echo(websocket: BlockingWebSocket) -> None:
    for text in websocket:
        websocket.send_text(text)


async def returns(websocket: WebSocket) -> None:
    await websocket.accept()


def blocking_raises(websocket: BlockingWebSocket) -> None:
    websocket.accept()
    raise RuntimeError("on purpose")


async def raises(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError("on purpose")


async def never_accepts(websocket: WebSocket) -> None: ...


async def rejects(websocket: WebSocket) -> None:
    await websocket.reject(403)


class Never(Guard):
    async def has_permission(self, websocket: Handshake) -> bool:
        return False


class Broken(Guard):
    async def has_permission(self, websocket: Handshake) -> bool:
        raise RuntimeError("on purpose")


class Bad(Authentication):
    async def authenticate(self, websocket: Handshake) -> Identity | None:
        raise AuthenticationFailed("no")


ALL = {
    "max_connections": 1,
    "max_connections_per_client": 1,
    "max_connections_per_user": 1,
    "max_connects_per_second": 1000,
}


async def is_free(application: Application, **scope: Any) -> bool:
    connection = Connection(application, deny=True, query="user=7", **scope)
    event = await connection.next()
    if event["type"] == "websocket.accept":
        connection.leave()
        await connection.end()
        return True
    assert event["status"] in (429, 503), event
    await connection.end()
    return False


@pytest.mark.parametrize(
    ("handler", "options", "query"),
    [
        (returns, {}, "user=7"),
        (raises, {}, "user=7"),
        (blocking_raises, {}, "user=7"),
        (never_accepts, {}, "user=7"),
        (rejects, {}, "user=7"),
        (echo, {}, ""),  # 401: after the places of the process and the client
        (echo, {"auth": [Bad()]}, "user=7"),
        (echo, {"guards": [Never()]}, "user=7"),  # and of the user
        (echo, {"guards": [Broken()]}, "user=7"),
        (echo, {}, "user=7"),  # the client leaves
        (blocking_echo, {}, "user=7"),
    ],
)
@limit(**ALL)
async def test_a_place_is_free_again(
    handler: Callable[..., Any],
    options: dict[str, Any],
    query: str,
    no_thread_left: None,
) -> None:
    application = serve(handler, **{"auth": [ByQuery()], **options})
    connection = Connection(application, query=query)
    connection.leave()
    if "raises" in handler.__name__:
        with pytest.raises(RuntimeError, match="on purpose"):
            await connection.end()
    else:
        await connection.end()
    assert limits._places._counts == {}
    assert await is_free(serve(echo, auth=[ByQuery()]))


@limit(**ALL)
async def test_a_place_is_taken_while_connected(no_thread_left: None) -> None:
    applications = [serve(each, auth=[ByQuery()]) for each in (echo, blocking_echo)]
    for application in applications:
        connection = Connection(application, query="user=7")
        connection.put("here")
        await connection.next()
        await connection.next()
        assert not any([await is_free(each) for each in applications])
        assert not await is_free(application, client=[B, 1])
        connection.leave()
        await connection.end()
        assert await is_free(application)


@limit(**ALL)
async def test_cancelled_in_admission() -> None:
    started = asyncio.Event()

    class Slow(Guard):
        async def has_permission(self, websocket: Handshake) -> bool:
            started.set()
            await asyncio.Event().wait()
            return True

    connection = Connection(serve(echo, auth=[ByQuery()], guards=[Slow()]), query="user=7")
    connection.start()
    assert connection.task is not None
    await asyncio.wait_for(started.wait(), TIMEOUT)
    assert not await is_free(serve(echo, auth=[ByQuery()]))
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.task
    assert await is_free(serve(echo, auth=[ByQuery()]))


@limit(**ALL, admission_timeout=0.01)
async def test_too_slow_in_admission() -> None:
    class Slow(Guard):
        async def has_permission(self, websocket: Handshake) -> bool:
            await asyncio.Event().wait()
            return True

    connection = Connection(
        serve(echo, auth=[ByQuery()], guards=[Slow()]), query="user=7", deny=True
    )
    start, _ = await connection.end()
    assert start["status"] == 503
    assert await is_free(serve(echo, auth=[ByQuery()]))


@limit(**ALL)
async def test_cancelled_while_connected() -> None:
    connection = Connection(serve(echo, auth=[ByQuery()]), query="user=7")
    await connection.next()
    assert connection.task is not None
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.task
    assert await is_free(serve(echo, auth=[ByQuery()]))


@limit(**ALL)
def test_a_loop_that_is_closed_with_its_connections() -> None:
    """Nothing can be awaited there any more: the garbage collector ends the handler."""
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    events: list[Any] = [{"type": "websocket.connect"}]

    async def receive() -> Any:
        return events.pop() if events else await asyncio.get_running_loop().create_future()

    application = serve(echo, auth=[ByQuery()])
    serving = application(make_scope(query="user=7"), receive, send)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(drive(serving))
    finally:
        loop.close()
    assert sent[0]["type"] == "websocket.accept"
    assert len(limits._places._counts) == 3
    serving.close()  # as the collector does
    assert limits._places._counts == {}


async def drive(serving: Any) -> None:
    """Run a coroutine to where it waits for ever, and leave it there."""
    for _ in range(100):
        waits_for = serving.send(None)
        if waits_for is not None and not waits_for.done():
            waits_for._asyncio_future_blocking = False
            return
    raise AssertionError("it waited for nothing")


# Many at once


@limit(max_connections=10)
async def test_a_thousand_connects_never_exceed() -> None:
    application = serve(echo)
    connections = [Connection(application, deny=True) for _ in range(1000)]
    first = await asyncio.gather(*(each.next() for each in connections))
    accepted = [
        connection
        for connection, event in zip(connections, first, strict=True)
        if event["type"] == "websocket.accept"
    ]
    assert len(accepted) == 10
    refused = [event for event in first if event["type"] != "websocket.accept"]
    assert {event["status"] for event in refused} == {503}
    assert all((b"retry-after", b"5") in event["headers"] for event in refused)
    for connection in connections:
        connection.leave()
    await asyncio.gather(*(each.end() for each in connections))
    assert limits._places._counts == {}


@limit(max_connections=7, max_connections_per_client=7)
def test_threads_never_exceed() -> None:
    most, held = 0, 0
    lock = threading.Lock()
    start = threading.Barrier(8)

    def connect() -> None:
        nonlocal most, held
        start.wait(TIMEOUT)
        for _ in range(500):
            try:
                lease = take()
            except Refusal:
                continue
            with lock:
                held += 1
                most = max(most, held)
            with lock:
                held -= 1
            lease.release()

    threads = [threading.Thread(target=connect) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # a thread stops wherever it can
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert 1 <= most <= 7
    assert limits._places._counts == {}


@limit(max_connections=2)
def test_a_release_in_the_middle_of_a_take_does_not_hang() -> None:
    """The garbage collector may run at any allocation, in the thread that holds the lock."""
    first, second = take(), take()
    with limits._places._lock:
        second.release()
        assert limits._places._counts  # left to who has the lock
    third = take()
    assert refusal(take) == (503, "5")
    release(first, third)


# What is said of it


@pytest.mark.parametrize(
    ("setting", "status", "said"),
    [
        ("max_connections", 503, 'the process has reached BOLT_WS["MAX_CONNECTIONS"], 1'),
        ("max_connections_per_client", 429, f"the client {A} has reached"),
        ("max_connections_per_user", 429, "the user 7 has reached"),
        ("max_connects_per_second", 429, f'the client {A} is over BOLT_WS["MAX_CONNECTS_PER_SE'),
    ],
)
async def test_the_log_names_the_setting_and_the_client_learns_nothing(
    setting: str, status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    application = serve(echo, auth=[ByQuery()])
    with limit(**{setting: 1}):
        first = Connection(application, query="user=7", client=[A, 1])
        await first.next()
        second = Connection(application, query="user=7", client=[A, 2], deny=True)
        start, body = await second.end()
        first.leave()
        await first.end()
    assert start["status"] == status
    assert (b"retry-after", b"1" if "second" in setting else b"5") in start["headers"]
    answer = json.loads(body["body"])
    assert answer["code"] == "too_many_connections"
    assert answer["detail"].startswith("Too many connection")
    assert "BOLT_WS" not in answer["detail"]
    (record,) = caplog.records
    assert said in record.getMessage()
