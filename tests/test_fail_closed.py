"""Nothing falls open by a slip: of a name, of a `return`, of an exception handler."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from bolt_ws import BoltAPI, DeclarationError, Depends, WebSocket, WebSocketRoute, discovery
from bolt_ws.auth import AllowAny, Authentication, Guard, Identity, JWTAuthentication
from tests.support import ACCEPT, close, make_token, serve, status, talk


async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


@pytest.mark.parametrize("slip", ["guard", "authentication", "permissions", "receive"])
def test_a_misspelt_option_is_an_error(slip: str) -> None:
    with pytest.raises(DeclarationError, match=f"unknown option '{slip}'"):
        BoltAPI().websocket("/", **{slip: []})(handler)


@pytest.mark.parametrize(
    "option",
    [{"auto_accept": "yes"}, {"name": 5}, {"caught_close_codes": (99999,)}, {"auth": "jwt"}],
)
def test_an_option_of_a_wrong_kind_is_an_error(option: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        BoltAPI().websocket("/", **option)(handler)


async def test_an_exception_handler_cannot_let_anybody_in() -> None:
    api = BoltAPI(auth=[JWTAuthentication()])
    api.websocket("/")(handler)

    @api.exception_handler(Exception)
    async def answer(websocket: WebSocket, error: Exception) -> None:
        await websocket.send_json({"error": str(error)})

    assert await talk(api.as_asgi()) == [close(4401, "not_authenticated")]
    assert await talk(api.as_asgi(), query="token=x") == [close(4401, "authentication_failed")]


async def accepts(websocket: WebSocket) -> bool:
    await websocket.accept()
    return True


async def sends(websocket: WebSocket) -> bool:
    await websocket.send_text("who?")
    return True


async def receives(websocket: WebSocket) -> bool:
    await websocket.receive_text()
    return True


@pytest.mark.parametrize("slip", [accepts, sends, receives])
async def test_a_guard_cannot_accept(slip: Any) -> None:
    guard = type("Slip", (Guard,), {"has_permission": staticmethod(slip)})()
    assert await talk(serve(handler, guards=[guard])) == [close(4500, "internal_error")]


async def test_a_dependency_cannot_accept() -> None:
    async def slip(websocket: WebSocket) -> None:
        await websocket.send_text("hello")

    async def depends(websocket: WebSocket, slip: Annotated[None, Depends(slip)]) -> None:
        raise AssertionError("the handler must not start")

    with pytest.raises(RuntimeError, match="admission"):
        await talk(serve(depends))


def test_middleware_without_a_return_is_an_error() -> None:
    api = BoltAPI()
    api.websocket("/", middleware=[lambda application: None])(handler)
    with pytest.raises(DeclarationError, match="no ASGI application"):
        api.as_asgi()


async def test_an_endpoint_declared_again_keeps_its_guards() -> None:
    api = BoltAPI()
    private = api.websocket("/private", auth=[JWTAuthentication()])(handler)
    again = BoltAPI(routes=[WebSocketRoute("/again", private)])
    assert await status(api.as_asgi(), "/private") == 401
    assert await status(again.as_asgi(), "/again") == 401
    opened = BoltAPI()
    opened.websocket("/open", guards=[AllowAny()])(private)
    assert await status(opened.as_asgi(), "/open") == 101


def test_an_included_api_is_not_served_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = BoltAPI(auth=[JWTAuthentication()]), BoltAPI()
    outer.include(inner)
    module = type("module", (), {"inner": inner})
    monkeypatch.setattr(discovery, "_api_modules", lambda: [module])
    with override_settings(BOLT_WS={}), pytest.raises(ImproperlyConfigured, match="included by"):
        discovery.find_apis()


class Known(Authentication):
    async def authenticate(self, websocket: Any) -> Identity:
        return Identity("1")


async def test_a_token_is_gone_though_another_backend_knew() -> None:
    seen: list[Any] = []

    async def look(websocket: WebSocket, token: str = "default") -> None:
        seen.extend([token, str(websocket.url), websocket.scope["query_string"]])

    await talk(serve(look, auth=[Known(), JWTAuthentication()]), query=f"token={make_token()}&a=1")
    assert seen == ["default", "ws://testserver/?a=1", b"a=1"]


async def test_wrong_values_are_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def number(websocket: WebSocket, token: int) -> None:
        pass

    assert await status(serve(number), query="token=SECRET") == 422
    assert "SECRET" not in caplog.text
    assert "parameter 'token'" in caplog.text
    with override_settings(DEBUG=True):
        assert await status(serve(number), query="token=a%0ab") == 422
    assert "Invalid value 'a\\\\nb' for parameter 'token': expected int" in caplog.text


@pytest.mark.parametrize(
    "declare",
    [
        lambda api: api.websocket(None),
        lambda api: BoltAPI(prefix="/{x:nope}"),
        lambda api: BoltAPI(routes=[("/x", handler)]),
        lambda api: api.exception_handler(ValueError)(lambda: None),
        lambda api: api.websocket("/")(handler).on_connect("text"),
    ],
)
def test_slips_are_errors_at_declaration(declare: Any) -> None:
    with pytest.raises(DeclarationError):
        declare(BoltAPI())(handler)


async def items() -> AsyncIterator[int]:
    yield 1


def test_a_generator_is_no_callback() -> None:
    endpoint = BoltAPI().websocket("/")(handler)
    with pytest.raises(DeclarationError, match="yield"):
        endpoint.on_close(items)


async def test_what_passes_all_is_accepted() -> None:
    assert await talk(serve(handler)) == [ACCEPT, close()]


async def test_an_endpoint_declared_again_keeps_its_middleware_and_types() -> None:
    def refuse(inner: Any) -> Any:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.close", "code": 4000, "reason": "closed"})

        return application

    api = BoltAPI()
    refused = api.websocket("/", middleware=[refuse])(handler)
    again = BoltAPI(routes=[WebSocketRoute("/again", refused)])
    assert await talk(again.as_asgi(), "/again") == [close(4000, "closed")]

    async def echo(websocket: WebSocket) -> None:
        await websocket.send({"n": await websocket.receive()})

    inner = api.websocket_route("/json", value_type="json")(echo)
    api.websocket_route("/stacked")(inner)
    assert (await talk(api.as_asgi(), "/stacked", "1"))[1]["text"] == '{"n":1}'


@pytest.mark.parametrize("number", [0.5, 1e-7, 0.12345678, 3.0])
async def test_a_float_in_a_path_is_the_float_that_was_asked_for(number: float) -> None:
    api = BoltAPI()

    async def show(websocket: WebSocket, n: float) -> None:
        await websocket.send_json(n)

    api.websocket("/{n:float}", name="show")(show)
    sent = await talk(api.as_asgi(), api.reverse("show", n=number))
    assert float(sent[1]["text"]) == number


async def test_a_guard_that_closes_keeps_the_handler_from_starting() -> None:
    started: list[bool] = []

    async def closes(websocket: WebSocket) -> bool:
        await websocket.close(4000)
        return True

    async def start(websocket: WebSocket) -> None:
        started.append(True)

    guard = type("Closes", (Guard,), {"has_permission": staticmethod(closes)})()
    assert await talk(serve(start, guards=[guard])) == [close(4000)]
    assert started == []
