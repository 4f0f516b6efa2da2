"""Keys that an issuer publishes."""

import asyncio
import contextlib
import http.server
import inspect
import ipaddress
import json
import logging
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from django.test import override_settings
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from bolt_ws import DeclarationError, WebSocket
from bolt_ws.auth import AuthenticationFailed, JWTAuthentication
from bolt_ws.auth.download import MAX_BYTES, download_json
from bolt_ws.auth.jwks import ABANDON_AFTER, COOLDOWN, KEEP_FOR, REFRESH_AFTER
from bolt_ws.exceptions import Refusal
from tests.support import TIMEOUT, Connection, serve, status
from tests.test_keys import pem, private, public, signed

URL = "https://issuer.example/jwks.json"


def member(kid: Any = "a", number: int = 0, **more: Any) -> dict[str, Any]:
    """An RSA key as a member of a key set; None omits."""
    key = {**RSAAlgorithm.to_jwk(public("RSA", number), as_dict=True), "kid": kid, **more}
    return {name: value for name, value in key.items() if value is not None}


class Issuer:
    """A key server. `open` lets its answers through, `error` is raised instead of one."""

    def __init__(self) -> None:
        self.keys: Any = [member()]
        self.error: Exception | None = None
        self.fetches = 0
        self.open = threading.Event()
        self.open.set()

    def fetch(self) -> dict[str, Any]:
        self.fetches += 1
        answer, error = {"keys": self.keys}, self.error
        assert self.open.wait(TIMEOUT)
        if error is not None:
            raise error
        return answer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    issuer = Issuer()
    monkeypatch.setattr("bolt_ws.auth.jwks.download_json", lambda url, **limits: issuer.fetch())
    yield issuer
    issuer.open.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("bolt_ws.auth.jwks.monotonic", clock)
    return clock


def make_backend(algorithms: Any = ("RS256",), url: str = URL) -> JWTAuthentication:
    return JWTAuthentication(jwks_url=url, algorithms=algorithms)


async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


def token(kid: str | None = "a", number: int = 0, algorithm: str = "RS256") -> str:
    return signed(private("RSA", number), algorithm, kid=kid)


async def enter(backend: JWTAuthentication, token: str) -> int:
    return await status(serve(handler, auth=[backend]), query=f"token={token}")


async def settle(backend: JWTAuthentication) -> None:
    """Wait for a fetch that is under way."""
    assert backend._remote is not None
    if (fetch := backend._remote._fetch) is not None:
        await asyncio.wrap_future(fetch)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/jwks.json",
        "http://localhost/jwks.json",
        "HTTP://127.0.0.1/",
        "file:///etc/passwd",
        "ftp://issuer.example/",
        "https:///jwks.json",
        "https://user:password@issuer.example/",
        "https://[::1/",
        "issuer.example",
        "",
        b"https://issuer.example/",
        7,
    ],
)
def test_urls_that_cannot_be(url: Any) -> None:
    with pytest.raises(DeclarationError, match="jwks_url must be a URL of https") as raised:
        make_backend(url=url)
    assert "password@" not in str(raised.value)


def test_no_shared_key_is_published() -> None:
    with pytest.raises(DeclarationError, match="which verify no HS256"):
        make_backend(["HS256"])


def test_nothing_is_fetched_at_import(issuer: Issuer) -> None:
    assert make_backend().secrets == ()
    assert issuer.fetches == 0


async def test_the_first_connect_waits_for_the_keys_and_no_other_does(issuer: Issuer) -> None:
    backend = make_backend()
    assert await enter(backend, token()) == 101
    assert issuer.fetches == 1
    issuer.open.clear()
    for _ in range(3):
        assert await enter(backend, token()) == 101
    assert await enter(backend, token(number=1)) == 401
    assert await enter(backend, token(algorithm="PS256")) == 401
    assert issuer.fetches == 1


async def test_the_loop_goes_on_while_the_keys_are_fetched_and_all_share_one_fetch(
    issuer: Issuer,
) -> None:
    issuer.open.clear()
    backend = make_backend()
    connects = [asyncio.create_task(enter(backend, token())) for _ in range(20)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert not any(connect.done() for connect in connects)
    issuer.open.set()
    assert await asyncio.gather(*connects) == [101] * 20
    assert issuer.fetches == 1


async def test_a_client_that_leaves_takes_no_keys_with_it(issuer: Issuer) -> None:
    issuer.open.clear()
    backend = make_backend()
    one, other = (asyncio.create_task(enter(backend, token())) for _ in range(2))
    for _ in range(20):
        await asyncio.sleep(0)
    one.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await one
    issuer.open.set()
    assert await other == 101


async def test_keys_known_take_no_waiting_at_all(issuer: Issuer) -> None:
    backend = make_backend()
    await backend.authenticate_token(token())
    connection = Connection(serve(handler, auth=[backend]), query=f"token={token()}")
    websocket = WebSocket(connection.scope, connection.receive, connection.send)
    assert not inspect.isawaitable(backend.authenticate(websocket))


async def test_an_issuer_that_hangs_meets_the_deadline(issuer: Issuer) -> None:
    issuer.open.clear()
    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.05}):
        assert await enter(make_backend(), token()) == 503


async def test_an_issuer_that_hangs_for_long_is_not_asked_twice(
    issuer: Issuer, clock: Clock
) -> None:
    issuer.open.clear()
    backend = make_backend()
    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.05}):
        assert await enter(backend, token()) == 503
        clock.now += COOLDOWN
        assert await enter(backend, token()) == 503
    assert issuer.fetches == 1
    issuer.open.set()
    await settle(backend)
    assert await enter(backend, token()) == 101


async def test_a_fetch_that_never_ends_is_given_up(
    issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make_backend()
    first = threading.Event()
    later = issuer.fetch

    def hang() -> dict[str, Any]:
        issuer.fetches += 1
        assert first.wait(TIMEOUT)
        return {"keys": [member("late", 1)]}

    monkeypatch.setattr(issuer, "fetch", hang)
    with override_settings(BOLT_WS={"ADMISSION_TIMEOUT": 0.05}):
        assert await enter(backend, token()) == 503
        clock.now += ABANDON_AFTER - 1
        assert await enter(backend, token()) == 503
    assert issuer.fetches == 1
    assert backend._remote is not None
    given_up = backend._remote._fetch
    assert given_up is not None
    monkeypatch.setattr(issuer, "fetch", later)
    clock.now += 1
    assert await enter(backend, token()) == 101
    assert issuer.fetches == 2
    first.set()  # and now it ends
    await asyncio.wrap_future(given_up)
    assert await enter(backend, token()) == 101
    assert await enter(backend, token("late", 1)) == 401


async def test_a_fetch_that_is_given_up_ends_no_other(issuer: Issuer, clock: Clock) -> None:
    backend = make_backend()
    assert backend._remote is not None
    remote = backend._remote
    issuer.open.clear()
    old = remote._refresh()
    clock.now += ABANDON_AFTER
    new = remote._refresh()
    assert old is not None
    assert new not in (None, old)
    old_thread_ends = asyncio.wrap_future(old)
    issuer.open.set()
    await old_thread_ends
    await settle(backend)
    assert remote._fetch is None
    assert remote.are_known


async def test_without_keys_nobody_gets_in(
    issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend()
    issuer.error = jwt.PyJWKClientConnectionError("connection refused")
    connection = Connection(serve(handler, auth=[backend]), query=f"token={token()}", deny=True)
    start, body = await connection.end()
    assert start["status"] == 503
    assert (b"retry-after", b"10") in start["headers"]
    assert json.loads(body["body"])["code"] == "keys_unavailable"
    assert "Cannot fetch the keys of 'issuer.example': 'connection refused'" in caplog.text
    assert token() not in caplog.text
    issuer.error = None
    assert await enter(backend, token()) == 503  # not asked again so soon
    with pytest.raises(Refusal, match="keys_unavailable"):
        backend.decode(token())
    assert issuer.fetches == 1
    clock.now += COOLDOWN
    assert await enter(backend, token()) == 101
    assert issuer.fetches == 2


async def test_a_fault_of_ours_in_a_fetch_is_logged_and_refuses(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.error = ZeroDivisionError("oh")
    assert await enter(make_backend(), token()) == 503
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.levelno == logging.ERROR


async def test_keys_are_refreshed_in_the_background(issuer: Issuer, clock: Clock) -> None:
    backend = make_backend()
    assert await enter(backend, token()) == 101
    clock.now += REFRESH_AFTER
    assert await enter(backend, token()) == 101
    assert issuer.fetches == 1
    issuer.keys = [member("b", 1)]
    issuer.open.clear()
    clock.now += 1
    assert await enter(backend, token()) == 101  # not waited for
    issuer.open.set()
    await settle(backend)
    assert issuer.fetches == 2
    assert await enter(backend, token("b", 1)) == 101
    assert await enter(backend, token()) == 401  # withdrawn


async def test_keys_outlive_an_issuer_for_a_bounded_time(issuer: Issuer, clock: Clock) -> None:
    backend = make_backend()
    assert await enter(backend, token()) == 101
    issuer.error = jwt.PyJWKClientConnectionError("down")
    clock.now += KEEP_FOR - 1 - COOLDOWN
    assert await enter(backend, token()) == 101
    await settle(backend)
    issuer.error, issuer.keys = None, []  # an answer, and none that can be right
    clock.now += COOLDOWN
    assert await enter(backend, token()) == 101
    await settle(backend)
    assert await enter(backend, token()) == 101
    assert issuer.fetches == 3
    clock.now += 1
    assert await enter(backend, token()) == 503
    clock.now += COOLDOWN
    issuer.keys = [member()]
    assert await enter(backend, token()) == 101


async def test_an_unknown_key_id_causes_one_fetch_in_a_while(issuer: Issuer, clock: Clock) -> None:
    backend = make_backend()
    assert await enter(backend, token()) == 101
    issuer.keys = [member(), member("b", 1)]
    for number in range(20):
        assert await enter(backend, token(f"made up {number}")) == 401
    assert await enter(backend, token(None)) == 401
    assert issuer.fetches == 1  # that was only just
    clock.now += COOLDOWN
    assert await enter(backend, token("b", 1)) == 401  # not waited for
    await settle(backend)
    assert await enter(backend, token("b", 1)) == 101
    for number in range(20):
        assert await enter(backend, token(f"made up {number}")) == 401
    await settle(backend)
    assert issuer.fetches == 2


async def test_a_token_must_name_its_key(issuer: Issuer) -> None:
    backend = make_backend()
    with pytest.raises(AuthenticationFailed):
        await backend.authenticate_token(token(None))
    assert (await backend.authenticate_token(token())).user_id == "7"


UNUSABLE: dict[str, Any] = {
    "a shared key": lambda: {"kty": "oct", "k": "A" * 64, "kid": "a"},
    "a private key": lambda: {
        **RSAAlgorithm.to_jwk(private("RSA"), as_dict=True),
        "kid": "a",
    },
    "a key to encrypt with": lambda: member(use="enc"),
    "another algorithm's key": lambda: member(alg="RS512"),
    "a key of another family": lambda: {
        **ECAlgorithm.to_jwk(public("P-256"), as_dict=True),
        "kid": "a",
    },
    "a short key": lambda: {**RSAAlgorithm.to_jwk(public("short RSA"), as_dict=True), "kid": "a"},
    "no key ID": lambda: member(None),
    "an empty key ID": lambda: member(""),
    "a key ID that is no text": lambda: member(1),
    "no modulus": lambda: member(n=None),
    "a broken modulus": lambda: member(n="!"),
    "a modulus that is no text": lambda: member(n=5),
    "an unknown type": lambda: {"kty": "quantum", "kid": "a"},
    "no type": lambda: {"kid": "a"},
    "no object": lambda: "a",
    "null": lambda: None,
}


@pytest.mark.parametrize("kind", UNUSABLE)
async def test_what_is_no_key_for_us_is_left_out(issuer: Issuer, kind: str) -> None:
    issuer.keys = [UNUSABLE[kind]()]
    assert await enter(make_backend(), token()) == 503
    issuer.keys = [UNUSABLE[kind](), member(), member("a", 1)]
    assert await enter(make_backend(), token()) == 101


@pytest.mark.parametrize("answer", [None, [], "keys", 7])
async def test_what_is_no_object(
    issuer: Issuer, answer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(issuer, "fetch", lambda: answer)
    assert await enter(make_backend(), token()) == 503
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("keys", [None, [], {}, "keys", 7])
async def test_what_is_no_key_set(issuer: Issuer, keys: Any) -> None:
    issuer.keys = keys
    assert await enter(make_backend(), token()) == 503


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_a_key_without_an_algorithm_is_of_the_backends(
    issuer: Issuer, algorithm: str
) -> None:
    backend = make_backend([algorithm])
    assert await enter(backend, token(algorithm=algorithm)) == 101


async def test_a_key_verifies_the_algorithm_that_it_says(issuer: Issuer) -> None:
    issuer.keys = [member("a", alg="PS256", use="sig")]
    backend = make_backend(["RS256", "PS256"])
    assert await enter(backend, token(algorithm="PS256")) == 101
    assert await enter(backend, token(algorithm="RS256")) == 401


# A real server


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself, and its key, in one file."""
    key, now = private("P-256"), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        **dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        ),
        **dict.fromkeys(("crl_sign", "encipher_only", "decipher_only"), False),
    )
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        # Python 3.13 wants these two as well (VERIFY_X509_STRICT).
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + pem(key))
    return path


@pytest.fixture
def https(certificate: Path) -> Iterator[str]:
    """The URL of a server of keys; under `/moved`, it redirects to them.

    `/long` is too long, `/longest` just not; `/drips` has no end, `/text` and `/deep` are no JSON.
    """
    keys = json.dumps({"keys": [member()]}).encode()
    bodies = {
        "/moved": b"",
        "/long": keys.ljust(MAX_BYTES + 1),
        "/longest": keys.ljust(MAX_BYTES),
        "/text": b"keys",
        "/deep": b"[" * 100_000,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moved = self.path == "/moved"
            self.send_response(302 if moved else 200)
            self.send_header("Location", "/keys")
            self.end_headers()
            with contextlib.suppress(OSError):  # the client has heard enough
                while self.path == "/drips":
                    self.wfile.write(b" ")
                self.wfile.write(bodies.get(self.path, keys))

        def log_message(self, *args: Any) -> None: ...

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *args: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_keys_over_https(
    https: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await enter(make_backend(url=f"{https}/keys"), token()) == 503  # nobody vouches for it
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert await enter(make_backend(url=f"{https}/keys"), token()) == 101
    assert await enter(make_backend(url=f"{https}/moved"), token()) == 503  # not to be followed


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("long", "over 1048576 bytes"),
        ("drips", "took over 0 s"),
        ("text", "no JSON"),
        ("deep", "no JSON"),
        ("moved", "302"),
    ],
)
def test_what_is_not_taken_over_https(
    https: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, path: str, error: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert download_json(f"{https}/longest", step=TIMEOUT, total=TIMEOUT) == {"keys": [member()]}
    with pytest.raises(jwt.PyJWTError, match=error):
        download_json(f"{https}/{path}", step=TIMEOUT, total=0 if path == "drips" else TIMEOUT)
