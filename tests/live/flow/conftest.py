"""The servers of the probe application."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ..server import UVICORN, Kind
from . import probe
from .probe import DIFFERS, PLACES, Certificate, Place, Probe, StartProbe


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate of 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("certificate")
    files = Certificate(directory / "key.pem", directory / "certificate.pem")
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return files


@pytest.fixture(scope="session")
def start(
    certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartProbe]:
    """Start a probe. Those that were not stopped by then are killed when all tests have run."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("what a process holds is read from Linux's /proc")
    started: list[Probe] = []

    def start(kind: Kind, *options: str, **settings: Any) -> Probe:
        directory = tmp_path_factory.mktemp("flow")
        started.append(probe.start_probe(kind, certificate, directory, *options, **settings))
        return started[-1]

    try:
        yield start
    finally:
        for each in started:
            each.server.kill()


@pytest.fixture(scope="session")
def shared_probe(start: StartProbe) -> Iterator[Any]:
    """Return the probe of a kind, which all tests share that need no settings of their own."""
    shared: dict[str, Probe] = {}

    def get(kind: Kind) -> Probe:
        if kind.name not in shared:
            shared[kind.name] = start(kind)
        return shared[kind.name]

    yield get
    for each in shared.values():
        if each.server.kind.name != UVICORN.name:  # which waits for handlers that wait for ever
            each.server.stop()


@pytest.fixture
def place(request: pytest.FixtureRequest, shared_probe: Any) -> Iterator[Place]:
    """Each server and each way to connect to it; afterwards its log is as it should be."""
    kind, transport = request.param
    found = Place(shared_probe(kind), transport)
    yield found
    found.probe.server.check_log()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has a `place` in each where it is to pass."""
    if "place" in metafunc.fixturenames:
        name = metafunc.function.__name__
        places = [
            (kind, transport)
            for kind, transport in PLACES
            if name not in DIFFERS.get(kind.name, {})
        ]
        names = [f"{kind}-{transport}" for kind, transport in places]
        metafunc.parametrize("place", places, ids=names, indirect=True)
