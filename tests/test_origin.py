"""The page that a handshake comes from, the attacker's included."""

import contextlib
import json
import logging
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings
from hypothesis import example, given
from hypothesis import strategies as st

from bolt_ws import BoltAPI, WebSocket
from bolt_ws.auth import AllowAny, Authentication, Guard, Identity, JWTAuthentication
from bolt_ws.auth.backends import nonblocking
from bolt_ws.exceptions import DeclarationError, Refusal
from bolt_ws.handshake import Handshake
from bolt_ws.origin import _MAX_LENGTH, Origins, _headers, _judge, check_origins
from tests.support import Application, Connection, Event, make_scope, make_token, serve

SITE = {"ALLOWED_HOSTS": ["example.com"]}
FOREIGN = (403, "origin_not_allowed", "Origin not allowed")
REQUIRED = (403, "origin_required", "Origin required")
BAD_HOST = (400, "bad_host", "Bad host")

Answer = tuple[int, str, str] | None


class Cookie(Authentication):
    """Whoever has the cookie is the victim; a browser sends it for any page."""

    is_ambient = True

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Identity | None:
        return Identity("victim", is_ambient=True) if "sessionid" in websocket.cookies else None


async def handler(websocket: WebSocket) -> None:
    await websocket.send_text(str(websocket.context.user_id))


def encoded(*origins: str | bytes, host: str | None = "example.com") -> Event:
    """The headers of a handshake, as a scope has them."""
    values = [each if isinstance(each, bytes) else each.encode() for each in origins]
    headers = [(b"origin", each) for each in values]
    return {"headers": [*headers, *([(b"host", host.encode())] if host is not None else [])]}


def judged(named: Iterable[str] = (), **scope: Any) -> Answer:
    """What `Origins.check` says of a handshake, None if it passes."""
    try:
        Origins(check_origins(list(named))).check(Handshake(make_scope(**scope)))
    except Refusal as refusal:
        return refusal.status, refusal.code, refusal.detail
    return None


async def answer(application: Application, **scope: Any) -> Answer:
    """What an application answers a handshake with, None if it accepts."""
    start, *rest = await Connection(application, deny=True, **scope).end()
    if start["type"] == "websocket.accept":
        return None
    body = json.loads(rest[0]["body"])
    return start["status"], body["code"], body["detail"]


TLS = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
SECURE = (b"x-forwarded-proto", b"https")


# The site's own


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("ws", "example.com", "http://example.com"),
        ("wss", "example.com", "https://example.com"),
        ("ws", "example.com:80", "http://example.com"),
        ("wss", "example.com", "https://example.com:443"),
        ("wss", "example.com:443", "https://example.com"),
        ("ws", "example.com:8000", "http://example.com:8000"),
        ("ws", "EXAMPLE.com", "http://example.COM"),
        ("ws", "example.com", "HTTP://example.com"),
        ("ws", "example.com.", "http://example.com"),
        ("ws", "example.com", "http://example.com."),
        ("ws", "127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("ws", "[::1]:8000", "http://[::1]:8000"),
        ("ws", "[::1]", "http://[0:0:0:0:0:0:0:1]"),
        ("ws", "xn--bcher-kva.example", "http://xn--bcher-kva.example"),
    ],
)
def test_the_sites_own_origin(scheme: str, host: str, origin: str) -> None:
    hosts = ["example.com", "127.0.0.1", "[::1]", "xn--bcher-kva.example"]
    with override_settings(ALLOWED_HOSTS=hosts):
        assert judged(scheme=scheme, **encoded(origin, host=host)) is None


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("wss", "example.com", "http://example.com"),  # a page that somebody on the way changed
        ("ws", "example.com", "https://example.com"),
        ("ws", "example.com", "http://example.com:8000"),
        ("ws", "example.com:8000", "http://example.com"),
        ("ws", "example.com:443", "https://example.com"),
        ("wss", "example.com:80", "https://example.com"),
    ],
)
@override_settings(**SITE)
def test_scheme_and_port_must_be_the_sites_own(scheme: str, host: str, origin: str) -> None:
    assert judged(scheme=scheme, **encoded(origin, host=host)) == FOREIGN


def test_behind_a_proxy_that_speaks_tls() -> None:
    scope = encoded("https://example.com")
    scope["headers"].append(SECURE)
    with override_settings(**SITE):
        assert judged(**scope) == FOREIGN  # the proxy's word does not count unasked
    with override_settings(**SITE, **TLS):
        assert judged(**scope) is None
        assert judged(**encoded("https://example.com")) == FOREIGN


def test_the_host_that_a_proxy_forwards() -> None:
    scope = encoded("http://example.com", host="inner")
    scope["headers"].append((b"x-forwarded-host", b"example.com"))
    with override_settings(ALLOWED_HOSTS=["example.com", "inner"]):
        assert judged(**scope) is None  # ALLOWED_HOSTS names both
    with override_settings(ALLOWED_HOSTS=["example.com"]):
        assert judged(**scope) == BAD_HOST
    with override_settings(ALLOWED_HOSTS=["example.com"], USE_X_FORWARDED_HOST=True):
        assert judged(**scope) is None
        scope["headers"].append((b"x-forwarded-host", b"evil.example"))
        assert judged(**scope) == BAD_HOST


def test_names_of_headers_in_any_case() -> None:
    scope = {"headers": [(b"Host", b"testserver"), (b"ORIGIN", b"https://evil.example")]}
    assert judged(**scope) == FOREIGN


# The attacker's


HOSTILE = [
    "https://evil.example",
    "null",  # of a sandboxed iframe
    "NULL",
    "",
    " ",
    "https://",
    "https:",
    "https:example.com",
    "https:/example.com",
    "//example.com",
    "example.com",
    "file://",
    "data:text/html,example.com",
    "javascript://example.com",
    "chrome-extension://example.com",
    "https://example.com.evil.net",
    "https://evilexample.com",
    "https://evil-example.com",
    "https://sub.example.com",
    "https://example.co",
    "https://com",
    "https://.example.com",
    "https://example..com",
    "https://example.com..",
    "https://*",
    "https://*.com",
    "*",
    "https://example.com@evil.net",
    "https://evil.net@example.com",
    "https://user:password@example.com",
    "https://evil.net#example.com",
    "https://evil.net?example.com",
    "https://evil.net/example.com",
    "https://evil.net\\example.com",
    "https://evil.net\\@example.com",
    "https://example.com/",
    "https://example.com/path",
    "https://example.com?",
    "https://example.com#",
    "https://example.com;",
    "http://example.com",
    "wss://example.com",
    "https://example.com:80",
    "https://example.com:8443",
    "https://example.com:",
    "https://example.com:0",
    "https://example.com:65536",
    "https://example.com:-443",
    "https://example.com:+443",
    "https://example.com:4_43",
    "https://example.com:443:443",
    "https://example.com:443443443443",
    "https://example.com:0x1bb",
    "https://example.com:https",
    "https://ex\u0430mple.com",  # a Cyrillic letter
    "https://\uff45xample.com",  # a full width letter
    "https://example\u3002com",  # an ideographic full stop
    "https://example.com:\u0664\u0664\u0663",  # Arabic digits
    "https://exam\u200bple.com",
    "https://example%2ecom",
    "https://%65xample.com",
    "https://example.com%00",
    "https://[example.com]",
    "https://[::1]",
    "https://[::1",
    "https://::1]",
    "https://[::g]",
    "https://[fe80::1%25eth0]",
    "https://[1:2:3:4:5:6:7:8:9]",
    " https://example.com",
    "https://example.com ",
    "https://example.com\t",
    "https://example.com\n",
    "https://example.com\x00",
    "https://exa mple.com",
    "https://example.com https://example.com",
    "https://example.com,https://example.com",
    "https://example.com, https://evil.example",
    "https://evil.example, https://example.com",
    f"https://{'a.' * 300}example.com",
    f"https://example.com{'.' * 600}",
    f"https://example.com:{'0' * 600}443",
    "https://" + "a" * 100_000,
    b"https://example.com\xff",
    b"\xff\xfe",
]


@pytest.mark.parametrize("allowed", [["example.com"], ["example.com", "*"]], ids=str)
@pytest.mark.parametrize("origin", HOSTILE, ids=lambda each: ascii(each[:40]))
async def test_the_attacker(origin: str | bytes, allowed: list[str]) -> None:
    """A page on another site connects, and the browser sends the victim's cookie with it."""
    victim = (b"cookie", b"sessionid=of-the-victim")
    application = serve(handler, auth=[Cookie()], guards=[AllowAny()])
    scope = encoded(origin)
    scope["headers"].append(victim)
    with override_settings(ALLOWED_HOSTS=allowed):
        assert await answer(application, scheme="wss", **scope) == FOREIGN
        own = encoded("https://example.com")
        assert await answer(application, scheme="wss", **own) is None


@pytest.mark.parametrize(
    "origins",
    [
        ("https://example.com", "https://evil.example"),
        ("https://evil.example", "https://example.com"),
        ("https://example.com", "https://example.com"),
        ("https://example.com", ""),
    ],
)
@override_settings(**SITE)
def test_two_origins_are_none(origins: tuple[str, ...]) -> None:
    assert judged(scheme="wss", **encoded(*origins)) == FOREIGN


@pytest.mark.parametrize("origin", ["https://evil.example", None])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",  # DNS rebinding: a name of the attacker's, and the address of this server
        "evil.example:443",
        "example.com.evil.example",
        "example.com@evil.example",
        "evil.example#example.com",
        "",
        "example.com:",
        "example.com:port",
        "example.com:99999",
        "example.com:" + "1" * 400,
        "example.com:" + "1" * 5000,
        "example.com, example.com",
        "exa_mple.com",
        "ex\u0430mple.com",
        "[::1",
        "[:::::]",
        "*",
        "." * 1000,
        "a" * 100_000,
    ],
    ids=lambda each: ascii(each)[:30],
)
def test_a_host_that_is_not_ours(host: str, origin: str | None) -> None:
    scope = encoded(*([] if origin is None else [origin]), host=host)
    with override_settings(ALLOWED_HOSTS=["example.com", "[:::::]"]):
        assert judged(scheme="wss", **scope) == BAD_HOST


@override_settings(**SITE)
def test_two_hosts_are_none() -> None:
    headers = [(b"host", b"example.com"), (b"host", b"example.com")]
    assert judged(headers=headers) == BAD_HOST


def test_rebinding_to_a_development_server() -> None:
    with override_settings(DEBUG=True, ALLOWED_HOSTS=[]):
        for host in ("localhost:8000", "127.0.0.1:8000", "app.localhost:8000", "[::1]:8000"):
            assert judged(**encoded(f"http://{host}", host=host)) is None
        assert judged(**encoded("http://localhost:8000", host="127.0.0.1:8000")) is None
        assert judged(**encoded("http://localhost:3000", host="localhost:8000")) == FOREIGN
        rebound = encoded("http://evil.example:8000", host="evil.example:8000")
        assert judged(**rebound) == BAD_HOST
    with override_settings(DEBUG=False, ALLOWED_HOSTS=[]):
        assert judged(**encoded("http://localhost:8000", host="localhost:8000")) == BAD_HOST


# Other origins that may connect


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://example.com", None),
        ("https://app.example.com", None),
        ("https://a.b.example.com", None),
        ("https://shop.example", None),
        ("https://sub.shop.example", FOREIGN),
        ("https://evil.example", FOREIGN),
        ("https://evilexample.com", FOREIGN),
        ("http://app.example.com", FOREIGN),
        ("https://app.example.com:8443", FOREIGN),
    ],
)
def test_allowed_hosts(origin: str, expected: Answer) -> None:
    hosts = [".example.com", "shop.example", "*"]
    with override_settings(ALLOWED_HOSTS=hosts):
        assert judged(scheme="wss", **encoded(origin)) == expected


NAMED = ["https://app.example.net", "https://*.example.org:8443", "http://[2001:DB8:0::1]:80"]


@pytest.mark.parametrize("where", ["CSRF_TRUSTED_ORIGINS", "origins"])
@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://app.example.net", None),
        ("https://APP.example.net:443", None),
        ("http://app.example.net", FOREIGN),
        ("https://app.example.net:8443", FOREIGN),
        ("https://sub.app.example.net", FOREIGN),
        ("https://example.net", FOREIGN),
        ("https://a.example.org:8443", None),
        ("https://a.b.example.org:8443", None),
        ("https://example.org:8443", None),  # as Django has it
        ("https://evilexample.org:8443", FOREIGN),
        ("https://a.example.org", FOREIGN),
        ("https://a.example.org.evil.example:8443", FOREIGN),
        ("http://[2001:db8::1]", None),
        ("http://[2001:db8::2]", FOREIGN),
        ("null", FOREIGN),
        ("*", FOREIGN),
    ],
)
def test_origins_that_are_named(where: str, origin: str, expected: Answer) -> None:
    trusted, named = (NAMED, []) if where == "CSRF_TRUSTED_ORIGINS" else ([], NAMED)
    with override_settings(**SITE, CSRF_TRUSTED_ORIGINS=trusted):
        assert judged(named, **encoded(origin)) == expected


@override_settings(**SITE)
def test_a_name_that_is_not_ascii() -> None:
    named = ["https://*.b\u00fccher.example"]
    assert judged(named, **encoded("https://a.xn--bcher-kva.example")) is None
    assert judged(named, **encoded("https://a.b\u00fccher.example")) == FOREIGN


@override_settings(**SITE)
def test_apps_that_are_no_web_pages() -> None:
    assert judged(["capacitor://localhost"], **encoded("capacitor://localhost")) is None
    assert judged(["capacitor://localhost"], **encoded("ionic://localhost")) == FOREIGN


@override_settings(**SITE, CSRF_TRUSTED_ORIGINS=["example.net", "https://", "https://*", "*"])
def test_a_trusted_origin_that_is_none_allows_none() -> None:
    for origin in ("https://example.net", "https://evil.example", "null"):
        assert judged(**encoded(origin)) == FOREIGN


@override_settings(**SITE)
def test_any_origin() -> None:
    assert judged(["*"], **encoded("https://whoever.example")) is None
    for origin in ("null", "", "whoever", "https://a, https://b", f"https://{'a.' * 300}example"):
        assert judged(["*"], **encoded(origin)) == FOREIGN
    assert judged(["*"], **encoded("https://evil.example", host="evil.example")) == BAD_HOST


async def test_an_endpoint_an_api_and_the_project_name_origins() -> None:
    api = BoltAPI(origins=["https://api.example"])
    inner = BoltAPI(prefix="/inner")
    inner.websocket("/inherits")(handler)
    inner.websocket("/own", origins=["https://own.example"])(handler)
    api.include(inner)
    application = api.as_asgi()

    async def allowed(path: str, name: str) -> bool:
        scope = encoded(f"https://{name}.example", host="testserver")
        return await answer(application, path=path, **scope) is None

    assert await allowed("/inner/inherits", "api")
    assert not await allowed("/inner/inherits", "own")
    assert await allowed("/inner/own", "own")
    assert not await allowed("/inner/own", "api")
    with override_settings(BOLT_WS={"ORIGINS": ["https://project.example"]}):
        application = serve(handler)
        assert await allowed("/", "project")
    assert not await allowed("/", "api")


@pytest.mark.parametrize(
    "settings",
    [
        {"ALLOWED_HOSTS": ["example.com", ".example.net"]},
        {"CSRF_TRUSTED_ORIGINS": ["http://www.example.net"]},
        {"ALLOWED_HOSTS": [], "DEBUG": True},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_that_are_overridden_count_at_once(settings: dict[str, Any]) -> None:
    local = "DEBUG" in settings
    host, origin = ("localhost", "localhost") if local else ("example.com", "www.example.net")
    scope = encoded(f"http://{origin}", host=host)
    with override_settings(**SITE):
        before = judged(**scope)
        assert before == (BAD_HOST if local else FOREIGN)
        with override_settings(**settings):
            assert judged(**scope) is None
        assert judged(**scope) == before


# What origins= takes


@pytest.mark.parametrize(
    "origins",
    [
        [],
        ("*",),
        ["https://app.example.com"],
        ["HTTP://LOCALHOST:3000"],
        ["https://*.example.com", "*"],
        ["https://*.example.com:8443"],
        ["http://127.0.0.1:8000", "http://[::1]:8000"],
        ["https://b\u00fccher.example:8443"],
        ["capacitor://localhost"],
    ],
)
def test_origins_that_can_be_named(origins: list[str]) -> None:
    assert check_origins(origins) == tuple(origins)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "example.com",
        "//example.com",
        "https://",
        "https://*",
        "**",
        "https://*example.com",
        "https://app.*.com",
        "https://*.*.com",
        "*://example.com",
        "https://*.[::1]",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?",
        "https://user@example.com",
        "https://example.com:*",
        "https://example.com:0",
        "https://example.com:99999",
        "https://example.com, https://example.net",
        " https://example.com",
        "https://stra\u00dfe.example",  # one host to Python's codec, another one to browsers
        "https://\uff45xample.com",
        "https://" + "\u00fc" * 70,
        "ws://example.com",
        "wss://*.example.com",
    ],
)
def test_origins_that_cannot(origin: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        BoltAPI().websocket("/", origins=[origin])(handler)
    assert repr(origin) in str(caught.value)
    assert '"https://app.example.com"' in str(caught.value)


@pytest.mark.parametrize("origins", ["https://example.com", "*", {"*"}, [b"*"], [None], 1])
def test_what_is_no_list_of_origins(origins: Any) -> None:
    with pytest.raises(DeclarationError, match="origins must be a list"):
        check_origins(origins)


# A cookie wants an origin


@pytest.mark.parametrize(
    ("origin", "named", "expected"),
    [
        ("http://example.com", [], None),
        ("https://app.example.net", ["https://app.example.net"], None),
        ("https://app.example.net", ["*", "https://app.example.net"], None),
        (None, [], REQUIRED),
        (None, ["*"], REQUIRED),
        ("https://evil.example", ["*"], FOREIGN),
        ("https://evil.example", [], FOREIGN),
        ("null", ["*"], FOREIGN),
    ],
)
@override_settings(**SITE)
async def test_a_cookie(origin: str | None, named: list[str], expected: Answer) -> None:
    scope = encoded(*([] if origin is None else [origin]))
    scope["headers"].append((b"cookie", b"sessionid=of-the-victim"))
    application = serve(handler, auth=[Cookie()], origins=named)
    assert await answer(application, **scope) == expected
    websocket = Handshake(make_scope(**scope))
    if expected is None:
        Origins(named).require(websocket)
    else:  # on its own too, should nobody have asked `check`
        with pytest.raises(Refusal):
            Origins(named).require(websocket)


@override_settings(**SITE)
async def test_whoever_has_no_cookie_needs_no_origin() -> None:
    application = serve(handler, auth=[Cookie()], guards=[AllowAny()], origins=["*"])
    assert await answer(application, **encoded()) is None
    assert await answer(application, **encoded("https://whoever.example")) is None


# Without a Host header: HTTP/1.0 and channels.testing


def test_without_a_host() -> None:
    named = ["https://app.example.net"]
    assert judged(headers=[]) is None
    assert judged(named, **encoded("https://app.example.net", host=None)) is None
    assert judged(named, **encoded("http://testserver", host=None)) == FOREIGN
    assert judged(**encoded("http://127.0.0.1:8000", host=None)) == FOREIGN
    scope = make_scope()
    del scope["headers"]
    Origins(()).check(Handshake(scope))


# What the log says, and the client does not learn


@pytest.mark.parametrize(
    ("origin", "host", "said"),
    [
        ("https://evil.example", "example.com", "https://evil.example is not this site's http://e"),
        ("https://evil.example", "example.com", "name https://evil.example in CSRF_TRUSTED_ORIG"),
        ("https://example.com", "example.com", "set SECURE_PROXY_SSL_HEADER"),
        ("http://example.com:3000", "example.com", "name http://example.com:3000 in CSRF_TRUSTED"),
        ("null", "example.com", "the origin 'null' names no page"),
        ("https://a\r\nForged: line", "example.com", r"'https://a\\r\\nForged: line' names no"),
        ("x" * 9999, "example.com", f"the origin '{'x' * 200}' names no page"),
        ("https://evil.example", None, "no host that https://evil.example could be the origin of"),
        (None, "evil.example", "the host 'evil.example' is not in ALLOWED_HOSTS"),
    ],
)
async def test_the_log_helps(
    origin: str | None, host: str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    scope = encoded(*([] if origin is None else [origin]), host=host)
    with override_settings(**SITE), caplog.at_level(logging.WARNING, logger="bolt_ws"):
        assert await answer(serve(handler), **scope) in (FOREIGN, BAD_HOST)
    (record,) = caplog.records
    message = record.getMessage()
    assert said in message
    assert "\n" not in message
    assert len(message) < 1000


@override_settings(**SITE)
async def test_the_log_helps_with_cookies(caplog: pytest.LogCaptureFixture) -> None:
    application = serve(handler, auth=[Cookie()], origins=["*"])
    for origins in ([], ["https://app.example.net"]):
        scope = encoded(*origins)
        scope["headers"].append((b"cookie", b"sessionid=of-the-victim"))
        await answer(application, **scope)
    first, second = (record.getMessage() for record in caplog.records)
    assert "a client that is no browser sends the header Origin" in first
    assert "'*' does not count" in second
    assert "of-the-victim" not in first + second


# Nothing leaves it but a refusal


@given(
    origin=st.binary(max_size=600) | st.text(max_size=200).map(str.encode) | st.none(),
    host=st.binary(max_size=600) | st.text(max_size=200).map(str.encode) | st.none(),
    scheme=st.sampled_from(["ws", "wss", "http", "https", "ftp", ""]),
)
@example(origin=b"https://[", host=b"[::ffff:1.2.3.4]:1", scheme="ws")
@example(origin=b"https://[::1.2.3.4.5]", host=b"[1::2::3]", scheme="ws")
@example(origin=b"https://xn--", host=b"xn--a", scheme="ws")
def test_no_exception_leaves_the_parser(
    origin: bytes | None, host: bytes | None, scheme: str
) -> None:
    headers = [(b"origin", origin)] if origin is not None else []
    headers += [(b"host", host)] if host is not None else []
    with override_settings(ALLOWED_HOSTS=["*"]):
        answer = judged(scheme=scheme, headers=headers)
    assert answer in (None, FOREIGN, BAD_HOST)


_LABEL = st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True)


@given(
    scheme=st.sampled_from(["http", "https", "HTTPS", "ws", "null"]),
    host=st.lists(_LABEL | st.sampled_from(["example", "com", "evil", ""]), max_size=5),
    rest=st.sampled_from(["", ":443", ":80", ".", "/", "@example.com", ":", "#", ", x"]),
)
def test_only_the_site_itself_is_its_own(scheme: str, host: list[str], rest: str) -> None:
    origin = f"{scheme}://{'.'.join(host)}{rest}"
    with override_settings(**SITE):
        is_allowed = judged(scheme="wss", **encoded(origin)) is None
    own = {"https://example.com", "https://example.com:443", "https://example.com."}
    assert is_allowed == (origin.lower() in own)


@given(origin=st.text(max_size=100))
def test_no_exception_but_a_declarations_leaves_check_origins(origin: str) -> None:
    with contextlib.suppress(DeclarationError):
        check_origins([origin])


def test_what_is_remembered_is_bounded() -> None:
    long = b"h" * 100_000
    remembered = _headers(Handshake(make_scope(headers=[(b"origin", long), (b"host", long)])))
    assert [len(each or b"") for each in remembered] == [_MAX_LENGTH + 1] * 2
    most = _judge.cache_info().maxsize
    assert most is not None
    assert most <= 1024


@pytest.mark.timing
def test_it_costs_microseconds() -> None:
    """In a process of its own: coverage and other tests' settings cost more than the check."""
    code = """
import timeit, django
django.setup()
from bolt_ws.handshake import Handshake
from bolt_ws.origin import Origins
from tests.support import make_scope
headers = [(b"x-%d" % n, b"value") for n in range(10)]
headers += [(b"host", b"testserver"), (b"origin", b"http://testserver")]
websocket, origins = Handshake(make_scope(headers=headers)), Origins(())
print(min(timeit.repeat(lambda: origins.check(websocket), number=10000, repeat=10)) / 10000 * 1e6)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(run.stdout) < 10


# What middleware has made of a cookie


class Unmarked(Authentication):
    """Reads a cookie, and says so nowhere."""

    @nonblocking
    def authenticate(self, websocket: Handshake) -> Identity | None:
        return Identity("victim") if "sessionid" in websocket.cookies else None


EVIL, OWN = "https://evil.example", "http://example.com"
VICTIM = {"user": User(pk=3, username="victim"), "session": {"cart": 1}, "cookies": {"a": "b"}}


@pytest.mark.parametrize("backends", [[JWTAuthentication()], [JWTAuthentication(), Cookie()]])
@pytest.mark.parametrize("origin", [EVIL, OWN])
@override_settings(**SITE)
async def test_any_page_has_no_part_in_the_cookie(
    origin: str, backends: list[Authentication]
) -> None:
    seen: dict[str, Any] = {}

    async def look(websocket: WebSocket) -> bool:
        seen["guard"] = "user" in websocket
        return True

    async def handle(websocket: WebSocket) -> None:
        seen["handler"] = ["user" in websocket, "session" in websocket, websocket.cookies]
        if not seen["handler"][0]:
            with pytest.raises(RuntimeError, match=r"websocket\.session needs a middleware"):
                _ = websocket.session
        seen["scope"] = [name for name, _ in websocket.scope["headers"]]
        await websocket.accept()

    guard = type("Look", (Guard,), {"has_permission": staticmethod(look)})()
    scope = {**encoded(origin), **VICTIM, "query_string": f"token={make_token()}".encode()}
    scope["headers"].append((b"cookie", b"other=of-the-victim"))
    given = {**scope, "headers": list(scope["headers"])}
    application = serve(handle, auth=backends, guards=[guard], origins=["*"])
    assert await answer(application, **scope) is None
    is_own = origin == OWN
    assert seen["guard"] is is_own
    assert seen["handler"] == [is_own, is_own, {"other": "of-the-victim"} if is_own else {}]
    assert (b"cookie" in seen["scope"]) is is_own
    assert scope == given  # the server's own


@override_settings(**SITE)
async def test_any_page_is_nobody_whatever_a_cookie_says() -> None:
    async def handle(websocket: WebSocket) -> None:
        await websocket.send_text(str(await websocket.auser()))

    scope = {**encoded(EVIL), **VICTIM}
    scope["headers"].append((b"cookie", b"sessionid=of-the-victim"))
    for backends in ([], [JWTAuthentication()]):
        application = serve(handle, auth=backends, guards=[AllowAny()], origins=["*"])
        sent = await Connection(application, **scope).end()
        assert sent[1]["text"] == "AnonymousUser"
    application = serve(handle, auth=[Unmarked()], origins=["*"])
    assert await answer(application, **scope) == (
        401,
        "not_authenticated",
        "Authentication required",
    )


def test_headers_that_are_repeated_cost_no_more_than_they_are_long() -> None:
    websocket = Handshake(make_scope(headers=[(b"origin", b"x" * 10)] * 5000))
    tracemalloc.start()
    try:
        found, _ = _headers(websocket)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == b", ".join([b"x" * 10] * 100)[: _MAX_LENGTH + 1]
    assert peak < 10_000  # what is behind the limit is not joined
