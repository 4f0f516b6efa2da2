"""Paths, path parameters, query parameters and headers that are not what a handler takes."""

from __future__ import annotations

from typing import Any

from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import token
from tests.hostile.wire import Attempt, at, with_headers, with_token

_PATH: dict[str, Any] = {"status": 404, "code": "not_found"}


def room(number: str, path: str = "/room/") -> Attempt:
    return at(f"{path}{number}")


def search(query: str | bytes) -> Attempt:
    return at("/search", query)


def versioned(*values: str | bytes, cookie: str | bytes | None = None) -> Attempt:
    return at("/headers", b"", *(("X-Version", value) for value in values), cookie=cookie)


def searching_with_a_token() -> Attempt:
    made = token()
    return at("/search", f"page={made}", secrets=(made,))


def token_among_many() -> Attempt:
    made = token()
    return at("/jwt", f"token={made}{'&a=' * 1500}", secrets=(made,))


def version_of_a_token() -> Attempt:
    return with_headers("/headers", ("X-Version", token()))


def many_headers(count: int, value: str = "x") -> list[tuple[str, str]]:
    return [(f"X-Header-{number}", value) for number in range(count)]


CLASSES = (
    HandshakeClass(
        name="path",
        good=lambda: at("/public"),
        status=404,
        code="not_found",
        rows={
            "unknown": lambda: at("/nowhere"),
            "in capitals": lambda: at("/PUBLIC"),
            "a slash at the end": lambda: at("/public/"),
            "up and down": lambda: at("/x/../public"),
            "up and down, encoded": lambda: at("/x/%2e%2e/public"),
            "up alone": lambda: at("/.."),
            "a null byte": lambda: at("/public%00"),
            "a newline": lambda: at("/public%0a"),
            "a line of a log": lambda: at("/x%0d%0aWARNING%20nothing"),
            "no UTF-8": lambda: at("/public%ff"),
            "a semicolon": Bad(
                build=lambda: at("/public;x=1"),
                is_live=False,  # Daphne drops what stands behind it
            ),
            "a question mark, encoded": lambda: at("/public%3fx=1"),
            "long": lambda: at("/" + "x" * 5000),
        },
    ),
    HandshakeClass(
        name="path parameter",
        good=lambda: room("-7"),
        status=422,
        code="invalid_parameters",
        rows={
            "letters": lambda: room("lobby"),
            "a fraction": lambda: room("1.5"),
            "an exponent": lambda: room("1e-3"),
            "hexadecimal": lambda: room("0x7"),
            "a space": lambda: room("%20"),
            "digits and a newline": lambda: room("7%0a"),
            "digits and a null byte": lambda: room("7%00"),
            "wide digits": lambda: room("%EF%BC%97"),
            "no UTF-8": lambda: room("%ff"),
            "up": lambda: room(".."),
            "SQL": lambda: room("7%20OR%201=1"),
            "true": lambda: room("true"),
            "null": lambda: room("null"),
            "5,000 digits": lambda: room("9" * 5000),
            "empty": Bad(build=lambda: room(""), **_PATH),
            "a slash, encoded": Bad(build=lambda: room("7%2f8"), **_PATH),
            "up, encoded": Bad(build=lambda: room("..%2fpublic"), **_PATH),
            "letters, for a converter": Bad(build=lambda: room("lobby", "/number/"), **_PATH),
            "negative, for a converter": Bad(build=lambda: room("-7", "/number/"), **_PATH),
            "5,000 digits, for a converter": Bad(
                build=lambda: room("9" * 5000, "/number/"), **_PATH
            ),
        },
    ),
    HandshakeClass(
        name="query parameter",
        good=lambda: search("page=1&ratio=1.5&exact=true&order=desc&unknown=%E2%98%83"),
        status=422,
        code="invalid_parameters",
        rows={
            "missing": lambda: search(""),
            "empty": lambda: search("page="),
            "no value": lambda: search("page"),
            "letters": lambda: search("page=one"),
            "a fraction": lambda: search("page=1.5"),
            "a list": lambda: search("page[]=1"),
            "JSON": lambda: search("page={%221%22:1}"),
            "no number": lambda: search("page=1&ratio=NaN"),
            "no finite number": lambda: search("page=1&ratio=Infinity"),
            "neither true nor false": lambda: search("page=1&exact=maybe"),
            "none of the choices": lambda: search("page=1&order=random"),
            "no UTF-8": lambda: search("page=%ff"),
            "no UTF-8, raw": Bad(build=lambda: search(b"page=\xff"), is_live=False),
            "half an escape": lambda: search("page=1%"),
            "no escape": lambda: search("page=%zz"),
            "a null byte": lambda: search("page=1%00"),
            "semicolons": lambda: search("ratio=0.5;page=1"),
            "bad at last": lambda: search("page=1&page=x"),
            "5,000 digits": lambda: search(f"page={'9' * 5000}"),
            "a token in its place": searching_with_a_token,
            "more than Django takes": Bad(
                build=lambda: search("&".join(f"a{number}=" for number in range(1500))),
                status=400,
                code="bad_request",
                is_live=False,  # uvicorn takes no line of over 8 KiB
            ),
        },
    ),
    HandshakeClass(
        name="header parameter",
        good=lambda: versioned("2", cookie="theme=light"),
        status=422,
        code="invalid_parameters",
        rows={
            "missing": lambda: versioned(),
            "empty": lambda: versioned(""),
            "letters": lambda: versioned("two"),
            "bytes of latin-1": lambda: versioned(b"2\xe9"),
            "no UTF-8": lambda: versioned(b"\xff\xfe"),
            "bad at last": lambda: versioned("2", "two"),
            "a token in its place": version_of_a_token,
            "a cookie that is none of the choices": lambda: versioned("2", cookie="theme=blue"),
            "a cookie of latin-1": lambda: versioned("2", cookie=b"theme=\xe9"),
        },
    ),
    HandshakeClass(
        name="headers, many",
        good=lambda: at("/jwt", f"token={token()}", *many_headers(5000)),
        code="not_authenticated",
        is_live=False,  # servers take fewer
        rows={
            "5,000, and no token": lambda: at("/jwt", b"", *many_headers(5000)),
            "of one name": lambda: at("/jwt", b"", *([("X-Header", "x")] * 5000)),
            "a megabyte": lambda: at("/jwt", b"", *many_headers(1000, "x" * 1000)),
            "5,000 tokens": Bad(
                build=lambda: at("/jwt", b"", *([("Authorization", "Bearer x")] * 5000)),
                code="authentication_failed",
            ),
            "5,000 origins": Bad(
                build=lambda: at("/jwt", b"", *([("Origin", "http://testserver")] * 5000)),
                status=403,
                code="origin_not_allowed",
            ),
            "a cookie of 5,000": lambda: at("/session", cookie="; ".join(["a=b"] * 5000)),
            "5,000 cookies": lambda: at("/session", b"", *([("Cookie", "a=b")] * 5000)),
            "5,000 subprotocols": lambda: at(
                "/full", b"", ("Sec-WebSocket-Protocol", ", ".join(["chat"] * 5000))
            ),
            "names of no letters": lambda: at("/jwt", b"", ("\x00\xff", "x"), ("", "x")),
            "an overlong one": lambda: at("/jwt", b"", ("X" * 100_000, "x")),
            "a null byte in a token": Bad(
                build=lambda: at("/jwt", b"", ("Authorization", "Bearer \x00")),
                code="authentication_failed",
            ),
            "a line more in a token": Bad(
                build=lambda: at("/jwt", b"", ("Authorization", "Bearer x\r\nX-Admin: 1")),
                code="authentication_failed",
            ),
        },
    ),
    HandshakeClass(
        name="parameters of somebody who is refused",
        good=lambda: with_token(token(), "/blocking"),
        code="not_authenticated",
        rows={
            "no token, bad parameters": lambda: at("/blocking", "page=x&%00=1"),
            "no token, half an escape": lambda: at("/jwt", "%"),
            "no token, no UTF-8": lambda: at("/jwt", "%ff=%ff"),
            "a good token, and more than Django takes": Bad(
                build=token_among_many,
                status=400,
                code="bad_request",
                is_live=False,
            ),
        },
    ),
)
