"""The probe application, served over TCP, over TLS and on a Unix socket by one process."""

import asyncio
import dataclasses
import itertools
import json
import os
import resource
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from ..server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind, Server
from .client import Address

MIB = 2**20
COSTS_AT_MOST = 20 * MIB  # a connection, in the memory of the server
WITHIN = 30.0  # seconds, for all that one test does
STOPS_WITHIN = 20.0
PAGE: int = resource.getpagesize()  # bytes

_NEVER_WAITS = "what the application sends, and the pongs, go into memory without a bound"
_NEVER_PAUSES = "what the client sends goes into memory without a bound"
_COUNTS = "what is counted is Daphne's"

# By server: the tests that it does not pass, and why. They are left out there.
DIFFERS: Mapping[str, Mapping[str, str]] = {
    STOCK_DAPHNE.name: {
        "test_a_gigabyte_to_a_client_that_does_not_read": _NEVER_WAITS,
        "test_messages_of_16_megabytes": "the limit of incoming messages limits these as well",
        "test_the_client_vanishes_while_a_sender_waits": _NEVER_WAITS,
        "test_the_client_closes_while_a_sender_waits": _NEVER_WAITS,
        "test_the_client_vanishes_while_both_sides_wait": _NEVER_WAITS,
        "test_a_denial_response_waits_for_a_client_that_does_not_read": "it cannot deny",
        "test_a_gigabyte_before_accept": "it loses what comes before accept",
        "test_a_gigabyte_to_a_handler_that_does_not_read": _NEVER_PAUSES,
        "test_many_tiny_messages_to_a_handler_that_does_not_read": _NEVER_PAUSES,
        "test_pings_that_flood_and_pongs_that_nobody_reads": _NEVER_WAITS,
        "test_nothing_is_left_of_failures": "it drops a connection without a close frame",
    },
    UVICORN.name: {
        "test_the_client_closes_while_a_sender_waits": "it waits on until the client is gone",
        "test_a_denial_response_waits_for_a_client_that_does_not_read": _NEVER_WAITS,
        "test_pings_that_flood_and_pongs_that_nobody_reads": _NEVER_WAITS,
        "test_a_gigabyte_before_accept": "an assertion of its own fails",
        "test_nothing_is_left_of_clean_ends": _COUNTS,
        "test_nothing_is_left_of_aborts": _COUNTS,
        "test_nothing_is_left_of_failures": _COUNTS,
    },
}


@dataclass(frozen=True)
class Certificate:
    """What `127.0.0.1` shows to a TLS client, as files."""

    key: Path
    certificate: Path

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


@dataclass(frozen=True)
class Probe:
    """A server of the probe application."""

    server: Server
    addresses: Mapping[str, Address]

    def memory(self) -> int:
        """Return how many bytes the server has in memory."""
        pid = self.server.process.pid
        resident: str = Path(f"/proc/{pid}/statm").read_text().split()[1]  # in pages
        return int(resident) * PAGE

    @asynccontextmanager
    async def control(self) -> AsyncIterator["Control"]:
        async with self.addresses["tcp"].opened("/control") as client:
            yield Control(client.send, client.message)


@asynccontextmanager
async def stopping(probe: Probe) -> AsyncIterator[None]:
    """See that the server ends by itself, with exit code 0, and does not complain."""
    try:
        yield
        async with asyncio.timeout(STOPS_WITHIN):
            assert await asyncio.to_thread(probe.server.process.wait, STOPS_WITHIN) == 0
    finally:
        await asyncio.to_thread(probe.server.kill)
    log = probe.server.log
    for trouble in ("Traceback", "Error", "ERROR", "took too long", "destroyed", "retrieved"):
        assert trouble not in log, log


@dataclass(frozen=True)
class Place:
    """One of the addresses of a probe."""

    probe: Probe
    transport: str

    @property
    def address(self) -> Address:
        return self.probe.addresses[self.transport]


@dataclass(frozen=True)
class Control:
    """The connection that asks what became of the others."""

    send: Callable[[str], Any]
    receive: Callable[[], Any]

    async def ask(self, what: str, name: str = "", *rest: str) -> dict[str, Any]:
        await self.send(json.dumps([what, name, *rest]))
        answer: dict[str, Any] = json.loads(await self.receive())
        return answer

    async def settled(self, name: str, seconds: float = 0.4) -> int:
        """Return how many messages the application has sent, once it sends no more."""
        sent = 0
        for _ in range(int(WITHIN / seconds)):
            before, sent = sent, int((await self.ask("record", name))["sent"])
            if before == sent > 0:
                return sent
            await asyncio.sleep(seconds)
        raise AssertionError(f"{name} still sends")


StartProbe = Callable[..., Probe]
_names = (f"connection-{number}" for number in itertools.count())


def new_name() -> str:
    """Return a name that no connection of this process had."""
    return next(_names)


def start_probe(
    kind: Kind,
    certificate: Certificate,
    directory: Path,
    *options: str,
    **settings: Any,
) -> Probe:
    """Start a server with more command line `options` and more `BOLT_WS` `settings`."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.live.flow.settings",
        "TEST_BOLT_WS": json.dumps(settings),
    }
    path = ""
    if kind is not UVICORN:
        path = str(directory / "socket")
        tls = f"ssl:port=0:interface=127.0.0.1:privateKey={certificate.key}"
        tls += f":certKey={certificate.certificate}"
        kind = dataclasses.replace(
            kind,
            command=(*kind.command, "-u", path, "-e", tls, "--access-log", os.devnull, *options),
            listening=_listening("tcp"),
        )
    log = directory / f"{kind}.log"
    server = Server(kind, "tests.live.flow.asgi:application", log, environment)
    addresses = {"tcp": Address(port=int(server.address.partition(":")[2]))}
    if path:
        try:
            port = int(server.wait_for(_listening("ssl"))[1])
            # That it listens on the socket it does not say. Once it answers, it does.
            with closing(HTTPConnection(server.address, timeout=WITHIN)) as http:
                http.request("GET", "/page")
                http.getresponse().read()
        except BaseException:
            server.kill()
            raise
        addresses["tls"] = Address(port=port, context=certificate.client_context())
        addresses["unix"] = Address(path=path)
    return Probe(server, addresses)


def _listening(endpoint: str) -> str:
    line = r"Listening on TCP address 127\.0\.0\.1:(\d+)"
    return rf"Configuring endpoint {endpoint}:.*\n.*{line}"


PLACES = [
    *itertools.product([DAPHNE], ["tcp", "tls", "unix"]),
    (STOCK_DAPHNE, "tcp"),
    (UVICORN, "tcp"),
]
