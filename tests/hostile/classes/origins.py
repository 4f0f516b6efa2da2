"""The page that a handshake says it comes from, and the host that it says it goes to."""

from __future__ import annotations

from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import token
from tests.hostile.wire import HOST, SITE, Attempt, at, with_token


def origin(value: str | bytes, path: str = "/public") -> Attempt:
    return at(path, origin=value)


def origins(*values: str) -> Attempt:
    return at("/public", b"", *(("Origin", value) for value in values), origin=None)


def host(value: str | bytes | None, page: str | bytes | None = None) -> Attempt:
    return at("/public", host=value, origin=page)


CLASSES = (
    HandshakeClass(
        name="origin, foreign",
        good=lambda: origin("HTTP://TestServer:80"),
        status=403,
        code="origin_not_allowed",
        rows={
            "another host": lambda: origin("https://evil.example"),
            "another scheme": lambda: origin(f"https://{HOST}"),
            "another port": lambda: origin(f"{SITE}:8080"),
            "a scheme of sockets": lambda: origin(f"ws://{HOST}"),
            "a file": lambda: origin("file://"),
            "an extension": lambda: origin("chrome-extension://abcdefghijklmnopabcdefghijklmnop"),
            "a host below ours": lambda: origin(f"http://evil.{HOST}"),
            "ours in front": lambda: origin(f"{SITE}.evil.example"),
            "ours behind": lambda: origin(f"http://evil{HOST}"),
            "ours as a user": lambda: origin(f"{SITE}@evil.example"),
            "ours as a user with a password": lambda: origin(f"{SITE}:80@evil.example"),
            "a user at ours": lambda: origin(f"http://evil@{HOST}"),
            "ours behind a fragment": lambda: origin(f"http://evil.example#{HOST}"),
            "ours behind a backslash": lambda: origin(f"http://evil.example\\@{HOST}"),
            "a lookalike": lambda: origin("http://te\N{CYRILLIC SMALL LETTER ES}tserver"),
            "the lookalike in ASCII": lambda: origin("http://xn--tetserver-6xg"),
            "a wide letter": lambda: origin("http://\N{FULLWIDTH LATIN SMALL LETTER T}estserver"),
            "an address": lambda: origin("http://192.0.2.1"),
            "foreign, with a good token": lambda: with_token(
                token(), origin="https://evil.example"
            ),
        },
    ),
    HandshakeClass(
        name="origin, malformed",
        good=lambda: origin(SITE),
        status=403,
        code="origin_not_allowed",
        rows={
            "null": lambda: origin("null"),
            "empty": lambda: origin(""),
            "a star": lambda: origin("*"),
            "no scheme": lambda: origin(HOST),
            "no scheme but its slashes": lambda: origin(f"//{HOST}"),
            "no host": lambda: origin("http://"),
            "a slash": lambda: origin(f"{SITE}/"),
            "a path": lambda: origin(f"{SITE}/chat"),
            "a query": lambda: origin(f"{SITE}?a"),
            "an empty port": lambda: origin(f"{SITE}:"),
            "a port of letters": lambda: origin(f"{SITE}:http"),
            "port 65616": lambda: origin(f"{SITE}:65616"),
            "port 0": lambda: origin(f"{SITE}:0"),
            "a negative port": lambda: origin(f"{SITE}:-80"),
            "wide digits": lambda: origin(f"{SITE}:\N{FULLWIDTH DIGIT EIGHT}0"),
            "half an address": lambda: origin("http://[::1"),
            "no address": lambda: origin("http://[v1.x]"),
            "an address with a zone": lambda: origin("http://[fe80::1%25eth0]"),
            "a space": lambda: origin(f"http:// {HOST}"),
            "a space and another": lambda: origin(f"{SITE} {SITE}"),
            "a tab": lambda: origin("http://test\tserver"),
            "a null byte": Bad(build=lambda: origin(f"{SITE}\x00"), is_live=False),
            "a newline": Bad(build=lambda: origin(f"{SITE}\nX: y"), is_live=False),
            "latin-1": lambda: origin(b"http://testserver\xe9"),
            "percent-encoded": lambda: origin("http://test%73erver"),
            "overlong": lambda: origin(f"http://{'a.' * 3000}{HOST}"),
            "overlong, of digits": lambda: origin(f"{SITE}:{'8' * 5000}"),
        },
    ),
    HandshakeClass(
        name="origin, more than one",
        good=lambda: origins(SITE),
        status=403,
        code="origin_not_allowed",
        rows={
            "ours first": lambda: origins(SITE, "https://evil.example"),
            "ours last": lambda: origins("https://evil.example", SITE),
            "ours twice": lambda: origins(SITE, SITE),
            "with a comma": lambda: origins(f"{SITE}, https://evil.example"),
            "with an empty one": lambda: origins(SITE, ""),
        },
    ),
    HandshakeClass(
        name="origin, named",
        good=lambda: origin("https://a.trusted.example:8443", "/origins"),
        status=403,
        code="origin_not_allowed",
        rows={
            "another scheme": lambda: origin("http://app.example", "/origins"),
            "another port": lambda: origin("https://app.example:444", "/origins"),
            "a host below": lambda: origin("https://a.app.example", "/origins"),
            "the wildcard's without its port": lambda: origin(
                "https://a.trusted.example", "/origins"
            ),
            "the wildcard's beginning": lambda: origin("https://xtrusted.example:8443", "/origins"),
            "the wildcard in front": lambda: origin(
                "https://a.trusted.example.evil.example:8443", "/origins"
            ),
            "the wildcard itself": lambda: origin("https://*.trusted.example:8443", "/origins"),
            "one of another endpoint": lambda: origin("https://app.example"),
        },
    ),
    HandshakeClass(
        name="host",
        good=lambda: host(f"{HOST}:8080"),
        status=400,
        code="bad_host",
        rows={
            "another": lambda: host("evil.example"),
            "rebound, with its own origin": lambda: host("evil.example", "http://evil.example"),
            "empty": lambda: host(""),
            "below ours": lambda: host(f"evil.{HOST}"),
            "ours in front": lambda: host(f"{HOST}.evil.example"),
            "ours as a user": lambda: host(f"{HOST}@evil.example"),
            "a port of letters": lambda: host(f"{HOST}:http"),
            "port 65616": lambda: host(f"{HOST}:65616"),
            "a path": lambda: host(f"{HOST}/evil"),
            "a space": lambda: host(f"{HOST} evil.example"),
            "latin-1": lambda: host(b"testserver\xe9"),
            "a null byte": Bad(build=lambda: host(f"{HOST}\x00"), is_live=False),
            "half an address": lambda: host("[::1"),
            "overlong": lambda: host(f"{'a.' * 3000}{HOST}"),
            "none, and an origin": Bad(
                build=lambda: host(None, SITE),
                status=403,
                code="origin_not_allowed",
                is_live=False,  # HTTP/1.1 has none without (RFC 9112 section 3.2)
            ),
            "another, and the proxy's word for ours": lambda: at(
                "/public", b"", ("X-Forwarded-Host", HOST), host="evil.example", origin=None
            ),
            "twice": Bad(
                build=lambda: at("/public", b"", ("Host", HOST), origin=None), is_live=False
            ),
        },
    ),
)
