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
    (imports aside, which all of them find). `then` runs below each.
    """

    page: str
    line: int
    name: str
    reason: str
    then: str = ""
    decorator: str = "websocket"
    is_blocking: bool = False


@dataclass(frozen=True)
class Follows:
    """The block whose fence is on this line is a client of earlier ones.

    It has the names of the first of them, whose API serves the endpoints of the others, too.
    """

    page: str
    line: int
    earlier: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Deferred:
    """The block whose fence is on this line is run by its scenario, as the function `name`."""

    page: str
    line: int
    name: str
    reason: str


Substitution = Replaced | Given | Completed | Wrapped | Follows | Deferred

PACKAGE = "the package's name"
EARLIER = "the page goes on with the names of its first block"
EARLIER_AND_DISCONNECT = f"{EARLIER}, and with an exception that it has not imported"
BODY = "the page shows the lines of a handler's body"
SERVED = "Daphne serves the API; nothing is to be started"
BARE = "the page shows a decorator without its handler"
NO_BODY = "the page leaves a loop's body out"
UNDEFINED = "the page does not define it"
NOT_IMPORTED = "the page has not imported them here"
APPLICATION = "the application object"
HAZARD = "the page's loop takes things out of what it iterates over, which Python forbids"
NO_STORAGE = "`websocket.state` is the enum; `websocket.context` stores"
CLIENT = "it is a client, and its page has endpoints at those paths"
NOT_ROUTED = "the page does not say the handler's path here"

DJANGO_BOLT = """
from bolt_ws import BoltAPI, WebSocket

api = BoltAPI()
"""
ROBYN = """
from bolt_ws import BoltAPI

app = BoltAPI()
"""
BOCADILLO = """
from bolt_ws import BoltAPI

app = BoltAPI()
"""
CELLO = BOCADILLO
DISCONNECT = "from bolt_ws import WebSocketDisconnect\n"
STARLETTE = "from bolt_ws import WebSocket, WebSocketDisconnect\n"

CHANCE = """
import types

draws = iter((0.5, 0.05, *[0.5] * 100))
random = types.SimpleNamespace(random=lambda: next(draws))
"""
CLOSING_MESSAGE = """
from bolt_ws import WebSocketMessage

msg = WebSocketMessage.close()
"""
OUTLINED = """
from collections.abc import Sequence

from bolt_ws.handshake import Address

Headers = QueryParams = Response = State = object
"""
AUTHENTICATION = """
from types import SimpleNamespace


def authenticate_token(token):
    return SimpleNamespace(username="ann") if token == "s3kr3t" else None


async def process_user_message(user, message):
    print(f"{user.username}: {message}")
"""
PROTOCOLS = """
def get_active_users():
    return ["ann"]


async def handle_notification_protocol(websocket):
    await websocket.send_text("a notification")


async def handle_default_protocol(websocket):
    await websocket.send_text("no protocol")
"""
METRICS = """
import random
from types import SimpleNamespace

psutil = SimpleNamespace(
    cpu_percent=lambda: 12.5, virtual_memory=lambda: SimpleNamespace(percent=50.0)
)
"""

# What is completed

ECHO = """async def chat(ws):
    async for message in ws:
        await ws.send(message)
"""
SURFACE = """
from bolt_ws import BoltAPI
from tests.seeds.outlines import exercise

api = BoltAPI()


@api.websocket("/surface/{number:int}")
async def surface(websocket, number: int):
    await exercise(websocket, WebSocket)
"""
ENDINGS = """
import bolt_ws

api = bolt_ws.BoltAPI()
api.add_websocket_route("/close", bolt_ws.WebSocketClose(1008, "Bye"))


@api.websocket("/states")
async def states(websocket):
    def both():
        sides = (websocket.client_state, websocket.application_state)
        return [WebSocketState(each.value).name for each in sides]

    before = both()
    await websocket.accept()
    await websocket.send_json([before, both()])
    try:
        await websocket.receive_text()
    except bolt_ws.WebSocketDisconnect as error:
        print(error.code, WebSocketState(websocket.state.value).name)
"""
SHUTDOWN = """
from bolt_ws import BoltAPI

api = BoltAPI()
api.websocket("/ws")(websocket_endpoint)


@api.websocket("/shutdown")
async def shutdown(websocket):
    await websocket.accept()
    await server.broadcast_shutdown()


@api.websocket("/interrupt")
async def interrupt(websocket):
    await websocket.accept()
    signal.raise_signal(signal.SIGINT)
"""
UPDATES = """
from bolt_ws import BoltAPI

api = BoltAPI()


@api.websocket("/ws")
async def updates(websocket):
    disconnect = asyncio.create_task(websocket.receive_event())
    await live_updates_websocket(websocket)
    await disconnect
"""
EDITING = """
from bolt_ws import BoltAPI

api = BoltAPI()
manager = DocumentManager()


@api.websocket("/ws/{doc_id}")
async def edit(websocket, doc_id: str, user_id: str):
    await manager.join_document(websocket, doc_id, user_id)
    async for operation in websocket.iter_json():
        await manager.handle_edit(doc_id, user_id, operation)
"""


def routed(handler: str, path: str) -> str:
    return f"from bolt_ws import BoltAPI\n\napi = BoltAPI()\napi.websocket({path!r})({handler})\n"


SUBSTITUTIONS: list[Substitution] = [
    Given("bocadillo", 26, BOCADILLO, UNDEFINED),
    Given("bocadillo", 74, BOCADILLO, UNDEFINED),
    Wrapped(
        "bocadillo", 100, "ws", BODY, "await ws.send(repr(message))", decorator="websocket_route"
    ),
    Given("bocadillo", 106, BOCADILLO, UNDEFINED),
    Completed("bocadillo", 106, ECHO.replace("message)", "repr(message))"), BARE),
    Given("bocadillo", 116, BOCADILLO + "from bolt_ws import WebSocket\n", UNDEFINED),
    Replaced("bocadillo", 120, "# ...", "await ws.send(message)", NO_BODY),
    Given("bocadillo", 125, BOCADILLO + "from bolt_ws import WebSocket\n", UNDEFINED),
    Replaced("bocadillo", 130, "# ...", "await ws.send(message)", NO_BODY),
    Wrapped("bocadillo", 137, "ws", BODY, decorator="websocket_route"),
    Given("bocadillo", 143, BOCADILLO, UNDEFINED),
    Completed("bocadillo", 143, ECHO.replace("(message)", '({"text": message})'), BARE),
    Given("bocadillo", 153, BOCADILLO, UNDEFINED),
    Completed("bocadillo", 153, ECHO, BARE),
    Given("bocadillo", 159, BOCADILLO, UNDEFINED),
    Completed("bocadillo", 159, ECHO, BARE),
    Given("bocadillo", 171, BOCADILLO, UNDEFINED),
    Given("bocadillo", 195, BOCADILLO, UNDEFINED),
    Given("bocadillo", 207, BOCADILLO, UNDEFINED),
    Given("bocadillo", 222, BOCADILLO, UNDEFINED),
    Wrapped("bocadillo", 235, "ws", BODY, decorator="websocket_route"),
    Given("bocadillo", 246, BOCADILLO, UNDEFINED),
    Given("bocadillo", 246, CHANCE, "a test is to know when it booms"),
    Replaced("bocadillo", 247, "import random", "", "a test is to know when it booms"),
    Replaced("bocadillo", 248, "starlette", "bolt_ws", PACKAGE),
    Replaced("bocadillo", 255, "ws.message()", "ws.receive()", "no page describes the method"),
    Given("bocadillo", 279, BOCADILLO, UNDEFINED),
    Completed("bocadillo", 279, "async def chat(ws):\n    await ws.receive()\n", BARE),
    Replaced("cello", 15, "from cello import App", "from bolt_ws import BoltAPI", PACKAGE),
    Replaced("cello", 17, "App()", "BoltAPI()", APPLICATION),
    Given("cello", 48, CELLO, EARLIER),
    Given("cello", 70, CELLO + "from bolt_ws import WebSocketMessage\n", EARLIER),
    Given("cello", 91, CELLO, EARLIER),
    Replaced("cello", 129, "cello", "bolt_ws", PACKAGE),
    Wrapped("cello", 128, "ws", BODY, "ws.send_text(msg.msg_type)\nws.send(msg)", is_blocking=True),
    Given("cello", 146, CLOSING_MESSAGE, "recv() gives None at the end, never a close message"),
    Wrapped("cello", 146, "ws", BODY, is_blocking=True),
    Given("cello", 172, CELLO, EARLIER),
    Given("cello", 195, CELLO, EARLIER),
    Given(
        "cello",
        195,
        "def process_command(data):\n    return {'done': data['command']}\n",
        UNDEFINED,
    ),
    Replaced("cello", 222, "from cello import App", "from bolt_ws import BoltAPI", PACKAGE),
    Replaced("cello", 225, "App()", "BoltAPI()", APPLICATION),
    Given("cello", 286, CELLO, EARLIER),
    Follows("cello", 330, (14,), "it is a client, and its page has an endpoint at that path"),
    Replaced(
        "cello",
        335,
        'websockets.connect("ws://localhost:8000/ws")',
        'connect("/ws")',
        "the test's server is not on port 8000, and in process there is none",
    ),
    Replaced("cello", 340, "asyncio.run(client())", "", "the test awaits client()"),
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
    Follows("django-bolt", 218, (11,), CLIENT),
    Deferred("django-bolt", 218, "test_echo", "the page shows the lines of a test's body"),
    Replaced("django-bolt", 219, "django_bolt", "bolt_ws", PACKAGE),
    Given("django-bolt", 232, DJANGO_BOLT, EARLIER),
    Given("django-bolt", 251, DJANGO_BOLT, EARLIER),
    Replaced("robyn", 17, "from robyn import Robyn", "from bolt_ws import BoltAPI", PACKAGE),
    Replaced("robyn", 19, "Robyn(__file__)", "BoltAPI()", APPLICATION),
    Replaced("robyn", 27, "app.start()", "", SERVED),
    Given("robyn", 41, ROBYN + DISCONNECT, EARLIER_AND_DISCONNECT),
    Given("robyn", 61, ROBYN, EARLIER),
    Given("robyn", 78, ROBYN, EARLIER),
    Given("robyn", 98, ROBYN, EARLIER),
    Given("robyn", 123, ROBYN + DISCONNECT, EARLIER_AND_DISCONNECT),
    Given("robyn", 149, ROBYN, EARLIER),
    Given("robyn", 174, ROBYN, EARLIER),
    Replaced("starlette", 8, "starlette.websockets", "bolt_ws", PACKAGE),
    Replaced(
        "starlette",
        9,
        "starlette.datastructures import URL, Headers, QueryParams",
        "bolt_ws.handshake import URL",
        PACKAGE,
    ),
    Replaced(
        "starlette",
        10,
        "from starlette.types import Scope, Receive, Send",
        "from bolt_ws.handshake import Scope; from bolt_ws.servers import Receive, Send",
        PACKAGE,
    ),
    Given("starlette", 7, OUTLINED, NOT_IMPORTED),
    Completed("starlette", 7, SURFACE, "the page outlines a class, and shows no endpoint"),
    Completed("starlette", 261, ENDINGS, "the page outlines classes, and shows no endpoint"),
    Replaced(
        "starlette",
        312,
        "from starlette.applications import Starlette",
        "from bolt_ws import BoltAPI",
        PACKAGE,
    ),
    Replaced("starlette", 313, "starlette.routing", "bolt_ws", PACKAGE),
    Replaced("starlette", 314, "starlette.websockets", "bolt_ws", PACKAGE),
    Replaced("starlette", 331, "Starlette(", "BoltAPI(", APPLICATION),
    Given("starlette", 338, "import time\n" + STARLETTE, NOT_IMPORTED),
    Completed("starlette", 338, routed("json_websocket", "/ws/json"), NOT_ROUTED),
    Given("starlette", 380, STARLETTE, NOT_IMPORTED),
    Replaced("starlette", 381, "starlette.routing", "bolt_ws", PACKAGE),
    Completed(
        "starlette",
        380,
        "from bolt_ws import BoltAPI\n\napi = BoltAPI(routes=routes)\n",
        APPLICATION,
    ),
    Given("starlette", 419, STARLETTE, NOT_IMPORTED),
    Given("starlette", 419, AUTHENTICATION, UNDEFINED),
    Replaced("starlette", 437, "websocket.state.user", "websocket.context.user", NO_STORAGE),
    Replaced("starlette", 449, "websocket.state.user", "websocket.context.user", NO_STORAGE),
    Completed("starlette", 419, routed("websocket_with_auth", "/ws"), NOT_ROUTED),
    Given("starlette", 459, "import time\n" + STARLETTE, NOT_IMPORTED),
    Replaced(
        "starlette",
        508,
        "in self.active_connections[room_id]:",
        "in list(self.active_connections[room_id]):",
        HAZARD,
    ),
    Completed("starlette", 459, routed("chat_websocket", "/ws/{room_id}"), NOT_ROUTED),
    Given("starlette", 551, STARLETTE, NOT_IMPORTED),
    Given("starlette", 551, PROTOCOLS, UNDEFINED),
    Completed("starlette", 551, routed("subprotocol_websocket", "/ws"), NOT_ROUTED),
    Given("starlette", 608, "import time\n" + STARLETTE, NOT_IMPORTED),
    Completed("starlette", 608, SHUTDOWN, f"{NOT_ROUTED}, nor who calls broadcast_shutdown()"),
    Follows("starlette", 729, (311, 338, 380), CLIENT),
    Given("starlette", 729, "from bolt_ws import WebSocketState\n", NOT_IMPORTED),
    Replaced("starlette", 730, "starlette.testclient", "bolt_ws.testing", PACKAGE),
    Given("starlette", 773, STARLETTE, NOT_IMPORTED),
    Given("starlette", 773, METRICS, "the page has not imported them; psutil is no dependency"),
    Replaced("starlette", 794, "sleep(5)", "sleep(0.1)", "the test does not wait that long"),
    Completed(
        "starlette",
        773,
        UPDATES,
        f"{NOT_ROUTED}; and until issue 'Upkeep' a disconnect is noticed only by who receives",
    ),
    Given("starlette", 813, "from bolt_ws import WebSocket\n", NOT_IMPORTED),
    Given(
        "starlette",
        813,
        "def apply_operation(content, operation):\n    return content + operation['insert']\n",
        UNDEFINED,
    ),
    Replaced(
        "starlette",
        859,
        "self.connections[doc_id].items()",
        "list(self.connections[doc_id].items())",
        HAZARD,
    ),
    Completed("starlette", 813, EDITING, NOT_ROUTED),
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
