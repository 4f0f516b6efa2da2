"""Where a token is, how many there are, how long one is and what it looks like."""

from __future__ import annotations

import base64

from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import (
    ANOTHER_KEY,
    claims,
    flipped,
    full_token,
    part,
    resigned,
    sign,
    token,
)
from tests.hostile.wire import Attempt, at, with_headers, with_token
from tests.settings import SECRET_KEY


def of_length(length: int) -> str:
    """A good token of that many characters."""
    for padding in range(length // 2, length):
        made = token(padding="x" * padding)
        if len(made) >= length:
            return made
    raise AssertionError


def two(first: str, second: str) -> Attempt:
    return at("/jwt", f"token={first}&token={second}", secrets=(first, second))


def query_and_header(path: str = "/jwt") -> Attempt:
    first, second = token(), token(sub="8")
    authorization = ("Authorization", f"Bearer {second}")
    return at(path, f"token={first}", authorization, secrets=(first, second))


def bearer(value: str | bytes) -> Attempt:
    return with_headers("/jwt", ("Authorization", value))


def offering(*names: str, secret: str = "") -> Attempt:
    """A handshake with subprotocols."""
    header = ("Sec-WebSocket-Protocol", ", ".join(names))
    return at("/full", b"", header, secrets=(secret,))


def as_subprotocol(made: str, *names: str) -> Attempt:
    return offering(*(name.replace("TOKEN", made) for name in names), secret=made)


def in_path() -> Attempt:
    made = token()
    return at(f"/jwt/{made}", secrets=(made,))


def query_and_subprotocol() -> Attempt:
    attempt = as_subprotocol(full_token(), "chat", "bearer.TOKEN")
    attempt.query = f"token={full_token(sub='8')}".encode()
    return attempt


CLASSES = (
    HandshakeClass(
        name="token, presence",
        good=lambda: with_token(token()),
        rows={
            "none": Bad(build=lambda: at("/jwt"), code="not_authenticated"),
            "empty": lambda: with_token(""),
            "no value": lambda: at("/jwt", "token"),
            "another name": Bad(
                build=lambda: at("/jwt", f"access_token={token()}"), code="not_authenticated"
            ),
            "its name in capitals": Bad(
                build=lambda: at("/jwt", f"TOKEN={token()}"), code="not_authenticated"
            ),
            "null": lambda: with_token("null"),
            "undefined": lambda: with_token("undefined"),
            "in the path": Bad(build=in_path, status=404, code="not_found"),
            "another scheme": Bad(
                build=lambda: bearer(f"Basic {token()}"), code="not_authenticated"
            ),
            "no scheme": Bad(build=lambda: bearer(token()), code="not_authenticated"),
            "a scheme alone": lambda: bearer("Bearer"),
            "a subprotocol where none is taken": Bad(
                build=lambda: at("/jwt", b"", ("Sec-WebSocket-Protocol", f"a, bearer.{token()}")),
                code="not_authenticated",
            ),
            "a cookie where none is taken": Bad(
                build=lambda: at("/jwt", cookie=f"token={token()}"), code="not_authenticated"
            ),
            "before a blocking handler": Bad(
                build=lambda: at("/blocking"), code="not_authenticated"
            ),
        },
    ),
    HandshakeClass(
        name="token, more than one",
        good=lambda: at("/jwt", f"other=1&token={token()}&more=1"),
        rows={
            "of two users": lambda: two(token(), token(sub="8")),
            "one twice": lambda: two(made := token(), made),
            "a good and an empty one": lambda: two(token(), ""),
            "a bad and a good one": lambda: two("bad", token()),
            "an encoded name": lambda: at("/jwt", f"%74oken={token()}&token={token(sub='8')}"),
            "query and header": query_and_header,
            "header twice": lambda: with_headers(
                "/jwt",
                ("Authorization", f"Bearer {token()}"),
                ("Authorization", f"Bearer {token(sub='8')}"),
            ),
            "header twice, of two schemes": lambda: with_headers(
                "/jwt",
                ("Authorization", f"Bearer {token()}"),
                ("Authorization", "Basic dXNlcjpwYXNzd29yZA=="),
            ),
            "header with a comma": lambda: bearer(f"Bearer {token()}, Bearer {token(sub='8')}"),
            "query and subprotocol": query_and_subprotocol,
            "query and cookie": lambda: with_token(
                full_token(), "/full", cookie=f"access={full_token(sub='8')}"
            ),
        },
    ),
    HandshakeClass(
        name="token, size",
        good=lambda: with_token(of_length(8192)),
        is_live=False,  # uvicorn takes no line of over 8 KiB
        rows={
            "a character too long": lambda: with_token(of_length(8193)),
            "some 20,000 characters": lambda: with_token(token(padding="x" * 15_000)),
            "some million characters": lambda: with_token(token(padding="x" * 1_000_000)),
            "many dots": lambda: with_token("." * 20_000),
            "a long header": lambda: bearer(f"Bearer {of_length(8193)}"),
            "a long payload, unsigned": lambda: with_token(f"{part(b'{}')}.{'A' * 9000}.AAAA"),
            "a long signature": lambda: with_token(resigned(token(), "A" * 9000)),
        },
    ),
    HandshakeClass(
        name="token, shape",
        good=lambda: with_token(token()),
        rows={
            "one part": lambda: with_token(part(claims())),
            "two parts": lambda: with_token(token().rpartition(".")[0]),
            "four parts": lambda: with_token(f"{token()}.{part(claims())}"),
            "five parts, as of an encrypted one": lambda: with_token(f"{token()}.AAAA.AAAA"),
            "dots alone": lambda: with_token(".."),
            "no header": lambda: with_token("." + token().partition(".")[2]),
            "no payload": lambda: with_token(".".join(token().split(".")[::2])),
            "a space in front": lambda: with_token(f"%20{token()}"),
            "a space within": lambda: with_token(token().replace(".", ".%20")),
            "a newline at the end": lambda: with_token(f"{token()}%0A"),
            "a line of a log": lambda: with_token(f"{token()}%0D%0AWARNING%20nothing"),
            "a null byte": lambda: with_token(f"{token()}%00"),
            "letters of no ASCII": lambda: with_token(f"{token()}%C3%A9"),
            "no UTF-8": lambda: with_token(f"%FF{token()}"),
            "half an escape": lambda: with_token(f"{token()}%"),
            "the other base64": lambda: with_token(
                base64.b64encode(token().encode()).decode().replace("=", "%3D")
            ),
            "padding": lambda: with_token(f"{token()}%3D%3D%3D"),
            "quotes": lambda: with_token(f"%22{token()}%22"),
            "its scheme in the query": lambda: with_token(f"Bearer%20{token()}"),
            "a list in brackets": lambda: with_token(f"[{token()}]"),
            "signs of no alphabet": lambda: with_token(resigned(token(), "!" * 43)),
            "a header of latin-1": lambda: bearer(b"Bearer \xe9\xff" + token().encode()),
            "a header of UTF-8": lambda: bearer(f"Bearer \N{SNOWMAN}{token()}"),
        },
    ),
    HandshakeClass(
        name="token, signature",
        good=lambda: with_token(sign()),
        rows={
            "empty": lambda: with_token(resigned(token(), "")),
            "cut off": lambda: with_token(token()[:-4]),
            "one bit else": lambda: with_token(flipped(token())),
            "longer": lambda: with_token(f"{token()}AAAA"),
            "zeros": lambda: with_token(resigned(token(), part(bytes(32)))),
            "of another key": lambda: with_token(token(ANOTHER_KEY)),
            "of an empty key": lambda: with_token(sign(key="")),
            "of the key's first half": lambda: with_token(sign(key=SECRET_KEY[:40])),
            "of another user's token": lambda: with_token(
                resigned(token(sub="8"), token().rpartition(".")[2])
            ),
            "of the payload alone": lambda: with_token(
                resigned(token(), sign(b"").rpartition(".")[2])
            ),
            "by SHA-1": lambda: with_token(sign(digest="sha1")),
            "before everybody is welcome": lambda: with_token(flipped(token()), "/all-welcome"),
        },
    ),
    HandshakeClass(
        name="token, subprotocol",
        good=lambda: as_subprotocol(full_token(), "chat", "bearer.TOKEN"),
        rows={
            "no label": Bad(
                build=lambda: as_subprotocol(full_token(), "bearer.TOKEN"),
                code="subprotocol_needed",
            ),
            "two tokens": lambda: as_subprotocol(full_token(), "a", "bearer.TOKEN", "bearer.x"),
            "two prefixes": lambda: as_subprotocol(
                full_token(), "a", "bearer.TOKEN", "Bearer.TOKEN"
            ),
            "a label alone": Bad(build=lambda: offering("chat"), code="not_authenticated"),
            "another prefix": Bad(
                build=lambda: as_subprotocol(full_token(), "chat", "token.TOKEN"),
                code="not_authenticated",
            ),
            "no prefix": Bad(
                build=lambda: as_subprotocol(full_token(), "chat", "TOKEN"),
                code="not_authenticated",
            ),
            "no prefix, and in front": Bad(
                build=lambda: as_subprotocol(full_token(), "TOKEN", "chat"),
                code="not_authenticated",
            ),
            "a bad token": lambda: as_subprotocol(token(ANOTHER_KEY), "chat", "bearer.TOKEN"),
            "an empty token": lambda: offering("chat", "bearer."),
            "in the query, as in the header": lambda: with_token(f"bearer.{full_token()}", "/full"),
        },
    ),
)
