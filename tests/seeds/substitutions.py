"""All that is changed about the pages' blocks before they run, and why. Nothing else is."""

from dataclasses import dataclass

from .pages import Key


@dataclass(frozen=True)
class Replaced:
    """On this line of the page, `old` becomes `new`."""

    page: str
    line: int
    old: str
    new: str
    reason: str


@dataclass(frozen=True)
class Given:
    """The block whose fence is on this line finds the names that `code` makes."""

    page: str
    line: int
    code: str
    reason: str


@dataclass(frozen=True)
class Completed:
    """The block whose fence is on this line is no endpoint yet; `code` stands below it."""

    page: str
    line: int
    code: str
    reason: str


@dataclass(frozen=True)
class Wrapped:
    """The block whose fence is on this line is a handler's body; `name` is the connection.

    It is served at `/`, accepted before it runs, and each of its statements alone at `/0`, `/1`...
    """

    page: str
    line: int
    name: str
    reason: str


Substitution = Replaced | Given | Completed | Wrapped

PACKAGE = "the package's name"
EARLIER = "the page goes on with the names of its first block"
EARLIER_AND_DISCONNECT = f"{EARLIER}, and with an exception that it has not imported"
BODY = "the page shows the lines of a handler's body"
SERVED = "Daphne serves the API; nothing is to be started"
NOT_ROUTED = "the page does not say the handler's path here"

DJANGO_BOLT = """
from bolt_ws import BoltAPI, WebSocket

api = BoltAPI()
"""
ROBYN = """
from bolt_ws import BoltAPI

app = BoltAPI()
"""
DISCONNECT = "from bolt_ws import WebSocketDisconnect\n"
STARLETTE = "from bolt_ws import WebSocket, WebSocketDisconnect\n"

SUBSTITUTIONS: list[Substitution] = [
    Replaced("django-bolt", 12, "django_bolt", "bolt_ws", PACKAGE),
    Given("django-bolt", 32, DJANGO_BOLT + DISCONNECT, EARLIER_AND_DISCONNECT),
    Wrapped("django-bolt", 52, "websocket", BODY),
    Wrapped("django-bolt", 58, "websocket", BODY),
    Wrapped("django-bolt", 64, "websocket", BODY),
    Wrapped("django-bolt", 72, "websocket", BODY),
    Wrapped("django-bolt", 83, "websocket", BODY),
    Wrapped("django-bolt", 92, "websocket", BODY),
    Given("django-bolt", 103, DJANGO_BOLT, EARLIER),
    Given("django-bolt", 115, DJANGO_BOLT, EARLIER),
    Wrapped("django-bolt", 130, "websocket", BODY),
    Given("django-bolt", 139, DJANGO_BOLT, EARLIER),
    Replaced("django-bolt", 140, "django_bolt", "bolt_ws", PACKAGE),
    Wrapped("django-bolt", 167, "websocket", BODY),
    Replaced("django-bolt", 168, "django_bolt", "bolt_ws", PACKAGE),
    Given("django-bolt", 177, DJANGO_BOLT, EARLIER),
    Replaced("django-bolt", 178, "django_bolt", "bolt_ws", PACKAGE),
    Wrapped("django-bolt", 201, "websocket", BODY),
    Replaced("django-bolt", 202, "django_bolt", "bolt_ws", PACKAGE),
    Given("django-bolt", 232, DJANGO_BOLT, EARLIER),
    Given("django-bolt", 251, DJANGO_BOLT, EARLIER),
    Replaced("robyn", 17, "from robyn import Robyn", "from bolt_ws import BoltAPI", PACKAGE),
    Replaced("robyn", 19, "Robyn(__file__)", "BoltAPI()", "the application object"),
    Replaced("robyn", 27, "app.start()", "", SERVED),
    Given("robyn", 41, ROBYN + DISCONNECT, EARLIER_AND_DISCONNECT),
    Given("robyn", 61, ROBYN, EARLIER),
    Given("robyn", 123, ROBYN + DISCONNECT, EARLIER_AND_DISCONNECT),
    Given("robyn", 149, ROBYN, EARLIER),
    Given("starlette", 338, "import time\n" + STARLETTE, "the page has not imported them here"),
    Completed(
        "starlette",
        338,
        "from bolt_ws import BoltAPI\napi = BoltAPI()\napi.websocket('/ws/json')(json_websocket)\n",
        NOT_ROUTED,
    ),
]


def substitutions_of(key: Key) -> list[Substitution]:
    """Return those that name the block by its fence; `Replaced` names a line of its code."""
    return [
        each
        for each in SUBSTITUTIONS
        if not isinstance(each, Replaced) and (each.page, each.line) == key
    ]


def replacements_of(page: str, lines: range) -> list[Replaced]:
    return [
        each
        for each in SUBSTITUTIONS
        if isinstance(each, Replaced) and each.page == page and each.line in lines
    ]
