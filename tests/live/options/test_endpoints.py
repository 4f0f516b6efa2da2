"""The ways to listen, all at once: TCP, IPv6, TLS, Unix sockets and an inherited socket."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import os
import re
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import InvalidStatus

from tests.live.server import DONE_WITHIN, ROOT, STOPPED_WITHIN, Server, close_of
from tests.requirements import missing

from .conftest import KINDS, Servers, environment, running
from .raw import PING, Stream, frames, handshake, read_response, request

BIG = 5_000_000
KEY_USAGE = {
    "digital_signature": True,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": True,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}
IPV6 = socket.has_dualstack_ipv6()


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:  # the path of a Unix socket must be short
        yield Path(name)


@pytest.fixture(scope="module")
def certificate(directory: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        # Python 3.13 asks for these two as well.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.KeyUsage(**KEY_USAGE), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = directory / "certificate.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    return path


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, directory: Path, certificate: Path
) -> Iterator[Servers]:
    tls = f"ssl:port=0:privateKey={certificate}:certKey={certificate}:interface=127.0.0.1"
    options = [
        *("-e", tls),
        *("--fd", "{fd}"),
        *("-v", "2"),
        "--proxy-headers",
        *("--ping-interval", "1"),
        *("--ping-timeout", "1"),
        *("--websocket-max-message-size", "0"),
        *("--websocket-max-frame-size", "0"),
    ]
    if IPV6:
        options += ["-e", r"tcp:port=0:interface=\:\:1"]
    kinds = {}
    for whose, kind in KINDS.items():
        name, *arguments = kind.command
        relative = os.path.relpath(directory / f"relative-{whose}", ROOT)
        unix = ["-u", str(directory / whose), "-e", f"unix:{relative}"]
        kinds["endpoints", whose] = replace(
            kind,
            command=("tests.live.options.inherit", name, *arguments, *options, *unix),
            # The last of them: Daphne sorts its endpoints, and Twisted says only this of a Unix
            # socket.
            listening=r"Factory starting on '(/.*)'",
        )
    with running(kinds, tmp_path_factory.mktemp("servers"), environment()) as servers:
        yield servers


class Way:
    """One of a server's endpoints."""

    def __init__(self, name: str, server: Server, directory: Path, certificate: Path) -> None:
        ports = re.findall(r"Listening on TCP address (\S+):(\d+)$", server.log, re.M)
        found = dict(zip(("fd", "TLS", "TCP", "IPv6"), ports, strict=bool(IPV6)))
        self.name, self.server = name, server
        self.can_deny = server.kind.can_deny
        self.tls = ssl.create_default_context(cafile=certificate) if name == "TLS" else None
        self.path: Path | None = None
        if name in found:
            self.host, self.port = found[name][0], int(found[name][1])
        else:
            whose = next(whose for whose, kind in KINDS.items() if kind.name == server.kind.name)
            self.path = directory / (whose if name == "Unix" else f"relative-{whose}")

    @asynccontextmanager
    async def connected(self, path: str, **headers: str) -> AsyncIterator[ClientConnection]:
        options: dict[str, Any] = {
            "additional_headers": headers,
            "proxy": None,
            "compression": None,
            "ping_interval": None,
            "max_size": None,
        }
        if self.path:
            connecting = unix_connect(str(self.path), f"ws://localhost{path}", **options)
        elif self.tls:
            url = f"wss://{self.host}:{self.port}{path}"
            connecting = connect(url, ssl=self.tls, **options)
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            connecting = connect(f"ws://{host}:{self.port}{path}", **options)
        async with asyncio.timeout(DONE_WITHIN), connecting as client:
            yield client

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Stream]:
        async with asyncio.timeout(DONE_WITHIN):
            if self.path:
                reader, writer = await asyncio.open_unix_connection(self.path)
            else:
                reader, writer = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
            try:
                yield reader, writer
            finally:
                writer.transport.abort()


WAYS = ["TCP", "TLS", "IPv6", "fd", "Unix", "relative Unix"]


@pytest.fixture(params=WAYS)
def way(
    request: pytest.FixtureRequest,
    servers: Servers,
    whose: str,
    directory: Path,
    certificate: Path,
) -> Iterator[Way]:
    if request.param == "IPv6" and not IPV6:
        missing("ipv6", "needs IPv6")
    server = servers["endpoints", whose]
    yield Way(request.param, server, directory, certificate)
    server.check_log()


async def test_echo(way: Way) -> None:
    async with way.connected("/echo?token=secret") as client:  # which no log may show
        for message in ("text", b"bytes", "\N{SNOWMAN}"):
            await client.send(message)
            assert await client.recv() == message


async def test_scope(way: Way) -> None:
    async with way.connected("/scope") as client:
        scope = json.loads(await client.recv())
        address = client.local_address
    if way.path:
        assert scope["client"] is None
    else:
        assert scope["client"] == list(address[:2])
        assert scope["server"] == [way.host, way.port]
    if way.server.kind.name == "daphne":  # stock says no scheme
        assert scope["scheme"] == ("wss" if way.tls else "ws")


async def test_proxy_headers(way: Way) -> None:
    forwarded = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Port": "567"}
    proto = "http" if way.tls else "https"
    async with way.connected("/scope", **forwarded, **{"X-Forwarded-Proto": proto}) as client:
        scope = json.loads(await client.recv())
    assert scope["client"] == ["1.2.3.4", 567]
    if way.server.kind.name == "daphne":
        assert scope["scheme"] == ("ws" if way.tls else "wss")


async def test_big_messages(way: Way) -> None:
    message = os.urandom(BIG)
    async with way.connected("/echo") as client:
        await client.send(message)
        assert await client.recv() == message


async def test_closes(way: Way) -> None:
    async with way.connected("/close/4001/reason") as client:
        assert await close_of(client) == way.server.kind.close(4001, "reason")


async def test_the_client_closes(way: Way) -> None:
    name = f"{way.name.replace(' ', '-')}-client"
    async with way.connected(f"/echo/{name}") as client:
        await client.close(4002, "reason")
    await way.server.logged(f"{name} ended with 4002")


async def test_denies(way: Way) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with way.connected("/deny/418"):
            pass
    response = caught.value.response
    assert response.status_code == (418 if way.can_deny else 403)
    if way.can_deny:
        assert response.body == b"denied, in two parts"


async def test_pages(way: Way) -> None:
    scheme = b"https" if way.tls else b"http"
    address = b"None" if way.path else way.host.encode()
    async with way.opened() as (reader, writer):
        writer.write(request("/page/"))
        assert (await read_response(reader)).body == b"a page, %b, %b" % (scheme, address)


@pytest.fixture
def ways(servers: Servers, directory: Path, certificate: Path) -> list[Way]:
    """All ways to ours."""
    server = servers["endpoints", "ours"]
    names = [name for name in WAYS if IPV6 or name != "IPv6"]
    return [Way(name, server, directory, certificate) for name in names]


async def test_clients_that_ignore_pings_are_dropped(ways: list[Way]) -> None:
    async def ignore(way: Way) -> set[int]:
        async with way.opened() as (reader, writer):
            writer.write(handshake("/echo"))
            assert (await read_response(reader)).status == 101
            return {each.opcode async for each in frames(reader)}

    assert await asyncio.gather(*map(ignore, ways)) == [{PING}] * len(ways)


async def test_the_server_stops(ways: list[Way]) -> None:
    """The last test: it ends ours."""

    async def stay(way: Way) -> tuple[int | None, str | None]:
        name = f"stayer-{way.name.replace(' ', '-')}"
        async with way.connected(f"/stay/{name}") as client:
            connected.release()
            return await close_of(client)

    connected = asyncio.Semaphore(0)
    async with asyncio.timeout(DONE_WITHIN), asyncio.TaskGroup() as group:
        staying = [group.create_task(stay(way)) for way in ways]
        for _ in ways:
            await connected.acquire()
        ways[0].server.signal_stop()
    assert [each.result()[0] for each in staying] == [1012] * len(ways)
    await asyncio.to_thread(ways[0].server.process.wait, STOPPED_WITHIN)
    await ways[0].server.logged("was cancelled", len(ways))
    assert not any(way.path.exists() for way in ways if way.path)
