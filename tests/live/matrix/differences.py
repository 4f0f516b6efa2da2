"""What Daphne as it is and uvicorn do otherwise than ours: the one list of it.

Each test asks for a row here what to expect, with what is right as the other argument. A server
that is not listed does that. When one is mended, the row's test fails, and the row goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest

from tests.live.server import Kind

UNASSERTED = "what takes long to see, or is not the same each time"
EVERY = "all items that are not named"


@dataclass(frozen=True)
class Difference:
    """What a server does instead, in words and as its tests find it.

    Of a row that is a dict it has the items that are different.
    """

    told: str
    found: Any = UNASSERTED


STOCK = {
    "scope": Difference(
        "has no scheme, HTTP version and version of the specification",
        {"asgi": {"version": "3.0"}, "http_version": None, "scheme": None},
    ),
    "scope: extensions": Difference("has none", None),
    "prepared messages": Difference("has none"),
    "scope: client and server": Difference("lists, where tuples are specified", "lists"),
    "scope: paths": Difference(
        "takes the path apart as that of a URL",
        {
            "//a//b/?a?b": ("//b/", b"//b/", b"a?b"),
            "/a+b%2Bc;d": ("/a+b+c", b"/a+b%2Bc", b""),
        },
    ),
    "scope: duplicate headers": Difference("joins them", [b"one,two"]),
    "bad handshakes": Difference(
        "takes some, drops one without a word, and says 400 of a version",
        {
            "POST": 405,
            "HTTP/1.0": 101,
            "two hosts": 101,
            "a body": "dropped",
            "a chunked body": 101,
            "a version before": 400,
            "no version": 400,
            "two versions": 400,
            "no upgrade": 400,
        },
    ),
    "bytes behind the handshake": Difference("hangs"),
    "bytes before the accept": Difference("hangs"),
    "a refusal while the client sends": Difference("resets the connection"),
    "accept after the client has gone": Difference("says nothing", {EVERY: "sent"}),
    "accept headers": Difference("drops them", {EVERY: []}),
    "denial responses": Difference("ignores them, so that the client hangs for 5 seconds"),
    "close codes": Difference(
        "raises for the standard ones, and the connection stays open (autobahn-python#1642)",
        dict.fromkeys([1001, 1002, 1003, *range(1007, 1015)], "Exception"),
    ),
    "close reasons": Difference("drops them", {EVERY: ""}),
    "reasons of clients": Difference("drops them", {EVERY: ""}),
    "answer to a close": Difference("1000, without a reason", (1000, "")),
    "answer to a close with 1014": Difference("resets the connection", "reset"),
    "answer to a close without a code": Difference("1000", (1000, "")),
    "event of a close without a code": Difference("has None as its code", None),
    "the end after the close frames": Difference("resets the connection", "reset"),
    "what comes after an own close": Difference("hands it on, and resets the connection"),
    "receive after the end": Difference("waits for ever", {EVERY: "no answer"}),
    "send after the client has gone": Difference("says nothing", {EVERY: ["sent", "sent"]}),
    "send after an own close": Difference(
        "raises what is no OSError", ["Disconnected", "Exception"]
    ),
    "only sending": Difference("says nothing for 10 seconds, and cancels it then"),
    "the application returns": Difference("leaves the connection open for ever"),
    "the application returns before accept": Difference("drops the client after 5 seconds"),
    "the application raises": Difference("looks once a second", {"at once": False}),
    "empty messages": Difference("drops them", "dropped"),
    "sending 2 MiB": Difference("has its limit in both directions", "PayloadExceededError"),
    "a close between fragments": Difference("answers 1000, as ever", 1000),
    "too large": Difference("resets the connection", {EVERY: "reset"}),
    "errors of the protocol": Difference("resets the connection", {EVERY: "reset"}),
    "bad UTF-8": Difference("resets the connection", {EVERY: "reset"}),
    "answers before an error": Difference("resets the connection, answers and all"),
    "nonsense before accept": Difference(
        "ignores it",
        {
            EVERY: "sent",
            "send": "unclear",
            "no type": "raised",
            "a subprotocol that was not offered": UNASSERTED,
            "a subprotocol with CR LF": UNASSERTED,
            "a subprotocol of bytes": UNASSERTED,
        },
    ),
    "nonsense after accept": Difference(
        "ignores some, and is not clear about some",
        {
            "a second accept": "unclear",
            "an unknown type": "sent",
            "a denial": "sent",
            "a body": "sent",
            "neither text nor bytes": "sent",
            "neither, but None": "sent",
            "close code 'x'": "unclear",
            "close code '1000'": "unclear",
            "close code 1000.0": "unclear",
            "close code True": "unclear",
            "a reason of 124 bytes": "sent",
            "a reason of 42 snowmen": "sent",
            "a reason of bytes": "sent",
            "a reason with a lone surrogate": "sent",
        },
    ),
    "a client that does not read": Difference("has `send` return, and keeps all", "sent all"),
    "an application that does not read": Difference("reads on, and keeps all"),
    "a client that does not answer pings": Difference("resets the connection", {"end": "reset"}),
    "a handshake that is not answered": Difference("drops the connection, where 403 is due"),
    "the server stops": Difference("drops the connections, or forgets them, as it happens"),
}
UVICORN = {
    "scope": Difference(
        "has version 2.4 of the specification",
        {"asgi": {"version": "3.0", "spec_version": "2.4"}},
    ),
    "scope: extensions": Difference("has no prepared messages", ["websocket.http.response"]),
    "prepared messages": Difference("has none"),
    "scope: underscores": Difference("keeps such names", {b"x-user", b"x_user"}),
    "bad handshakes": Difference(
        "says 405 of POST and 400 of a version, takes HTTP/1.0, never answers one with a body",
        {
            "POST": 405,
            "HTTP/1.0": 101,
            "a body": UNASSERTED,
            "a chunked body": UNASSERTED,
            "a version before": 400,
            "no version": 400,
            "two versions": 400,
            "no upgrade": UNASSERTED,
        },
    ),
    "bytes behind the handshake": Difference("drops them", "dropped"),
    "a refusal while the client sends": Difference("resets the connection"),
    "permessage-deflate": Difference("is on", True),
    "denial responses: parts": Difference("sends nothing before all is there"),
    "denial responses: unfinished": Difference(
        "ends the stream without a word", {"only the start": "broken off"}
    ),
    "a denial that is not finished": Difference("waits for ever"),
    "the client vanishes": Difference("says 1005", {EVERY: 1005}),
    "receive after the end": Difference(
        "says another code then, or waits for ever",
        {
            "close": "another",
            "abort": "no answer",
            "end of stream": "no answer",
            "own close": "another",
        },
    ),
    "send after the client has gone": Difference(
        "takes a close without a word", {"close": ["OSError", "sent"]}
    ),
    "send after an own close": Difference(
        "raises what is no OSError", ["RuntimeError", "RuntimeError"]
    ),
    "the application returns": Difference("drops the connection", "dropped"),
    "the application returns before accept": Difference("answers 500", 500),
    "the application raises": Difference("drops the connection", {"end": "dropped"}),
    "words of the log": Difference("has its own", "ERROR:    Exception in ASGI application"),
    "a close between fragments": Difference("takes it for an error", 1002),
    "too large": Difference(
        "resets the connection where it has not read all",
        {"in one frame": UNASSERTED, "of bytes": UNASSERTED, "of 8 MiB": UNASSERTED},
    ),
    "a limit of frames": Difference("has none"),
    "bad UTF-8": Difference(
        "waits for the whole message",
        {
            "in a first fragment": UNASSERTED,
            "in a fragment": UNASSERTED,
            "in a part of a frame": UNASSERTED,
            "in a part of a fragment": UNASSERTED,
        },
    ),
    "answers before an error": Difference("does not wait for them", [1002]),
    "nonsense before accept": Difference(
        "takes most, and sends it",
        {
            "a status that is text": "unclear",
            "a status of 101": "sent",
            "a denial's header of text": "unclear",
            "a denial's header with CR LF": "sent",
            "a header of text": "unclear",
            "a value of text": "unclear",
            "a name with CR LF": "sent",
            "a name with a colon": "sent",
            "a name with a space": "sent",
            "a name that is empty": "sent",
            "a pseudo-header": "sent",
            "a header of the server's": "sent",
            "a subprotocol in the headers": "sent",
            "a subprotocol that was not offered": "sent",
            "a subprotocol with CR LF": "unclear",
            "a subprotocol of bytes": "sent",
        },
    ),
    "nonsense after accept": Difference(
        "takes some, and is not clear about most",
        {
            EVERY: "unclear",
            "a second accept": "raised",
            "an unknown type": "raised",
            "a denial": "raised",
            "a body": "raised",
            "text and bytes": "sent",
            "neither text nor bytes": "sent",
            "neither, but None": "sent",
            "bytes as text": "raised",
            "text as bytes": "raised",
            "a number as text": "raised",
            "a lone surrogate": "raised",
            "a reason with a lone surrogate": "raised",
        },
    ),
    "a client that does not answer pings": Difference(
        "ends it with a close frame", {"end": (1011, "keepalive ping timeout"), "code": 1005}
    ),
    "a handshake that is not answered": Difference("waits for ever"),
    "the server stops": Difference(
        "cancels nothing, waits for all that does not end, and answers 500",
        {"last word": None, "handshake": 500, "exit code": None},
    ),
    "the access log": Difference("has the query, credentials and all", "the query too"),
    "a consumer that answers too late": Difference("raises in it, and it never hears of the end"),
}
TABLE: dict[str, dict[str, Difference]] = {"stock-daphne": STOCK, "uvicorn": UVICORN}


def expected(kind: Kind, row: str, right: Any) -> Any:
    """Return what a test of `row` finds on a server, where `right` is what it should find.

    Skips the test where that is known and not asserted.
    """
    if kind.name == "uvicorn" and int(version("websockets").partition(".")[0]) < 17:
        pytest.skip("what uvicorn does otherwise is listed as of websockets 17")
    difference = TABLE.get(kind.name, {}).get(row)
    if difference is None:
        return right
    found = difference.found
    if isinstance(found, dict):
        # A test may ask for some items of the row only.
        found = {key: found.get(key, found.get(EVERY, value)) for key, value in right.items()}
        is_asserted = UNASSERTED not in found.values()
    else:
        assert found != right, f"{kind} is listed for {row!r} with what is right"
        is_asserted = found != UNASSERTED
    if not is_asserted:
        pytest.skip(f"{kind}: {difference.told}")
    return found
