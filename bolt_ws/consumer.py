"""Endpoint -> Channels consumer: the life of a connection, from top to bottom."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer
from channels.layers import get_channel_layer
from django.http.response import HttpResponseBase

from .admission import Arguments
from .closing import Closing
from .databases import Assignment, assign_thread
from .dependencies import Dependencies
from .endings import (
    HANDLED_ENDING,
    NORMAL_ENDING,
    RESTART_ENDING,
    Ending,
    ask_handler,
    foremost,
    how_to_end,
    is_quiet,
    note_quiet,
    stopping,
)
from .exceptions import Refusal, WebSocketRejected
from .farewell import Farewell
from .handshake import Scope
from .hearing import Hearing
from .interruption import Interruption
from .limits import Lease
from .observing import Observation
from .permit import Permit
from .plan import Plan
from .registry import Departure
from .rooms.envelopes import as_event
from .rooms.hubs import open_hub
from .servers import Receive, Send, can_deny
from .shutdown import shutting_down
from .states import WebSocketState
from .threads import Slot, reserve
from .websocket import WebSocket


class BoltConsumer(AsyncConsumer):  # type: ignore[misc]  # Channels has no types
    """A compiled endpoint. Its handler runs in the consumer's own task.

    A Channels consumer on the outside (`as_asgi`, `scope`, `send`, `channel_layer_alias`), but one
    that leaves `receive` to its handler instead of dispatching each message: Channels' dispatch
    costs some 100 us a message, most of it a hop to the one database thread.
    """

    plan: ClassVar[Plan]

    scope: Scope
    channel_layer: Any = None
    channel_name: str | None = None
    websocket: WebSocket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI specification, "WebSocket")."""
        self.scope = dict(scope)  # a copy: authentication takes tokens out of it
        self.base_send = send
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        plan = self.plan
        self.websocket = plan.make_websocket(self.scope, receive, send)
        # First: what is made below keeps the context, and with it the fields of log records.
        self._observation = Observation(self.websocket, plan.endpoint, plan.name)
        self._closing = Closing(self.websocket, self._observation)
        self._slot: Slot | None = None
        self._hearing: Hearing | None = None
        self._lease = Lease()
        self._interruption = Interruption()
        self.websocket.interrupt_by(self._interruption)
        self._permit = Permit(
            self.websocket,
            self._dismiss,
            plan.bounds,
            self._interruption,
            closes_at_expiry=plan.closes_at_expiry,
        )
        dependencies = Dependencies(plan.dependency_overrides)
        error: BaseException | None = None
        failure: BaseException | None = None
        self._database_thread: Assignment | None = None
        try:
            self._database_thread = assign_thread()
            self._permit.copy_context()
            if shutting_down():
                raise stopping()
            hub = await open_hub(self.websocket)
            handler, *callbacks = await plan.admission.admit(
                self.websocket, [call.binder for call in plan.calls], dependencies, self._lease
            )
            if plan.handler.is_blocking:
                self._slot = reserve()
            self._permit.grant()
            self._observation.identify()
            self.websocket.admit()
            hub.enter(self.websocket, plan.peers.keys_of(self.websocket))
            await self._greet(callbacks)
            if plan.handler.binder.connection is None:  # a stream: nobody can receive
                self.websocket.read_ahead(keep=False)
            if self._slot is not None:
                await plan.handler.run(self.websocket, handler, self._slot)
            elif plan.handler.is_stream:
                await self.websocket.send_stream(plan.handler.function(*handler[0], **handler[1]))
            else:
                # Awaited here and in no task or method of its own: each would cost every message.
                await plan.handler.function(*handler[0], **handler[1])
        except GeneratorExit:  # the loop is gone, and nothing can be awaited
            self._let_go()
            raise
        except BaseException as raised:
            error = raised
        try:
            error = await self._end_handler(error)
            failure = await self._end_after(error)
            failure = await self._clean_up(error, failure, dependencies)
            if failure is not None:
                raise failure
        finally:
            self._let_go()
            del error, failure  # their tracebacks hold this frame

    async def _greet(self, callbacks: list[Arguments]) -> None:
        """Begin the part of the life that `on_close` ends."""
        plan, websocket = self.plan, self.websocket
        greeted, ended = len(plan.on_connect), len(plan.on_connect) + len(plan.on_close)
        if plan.on_close:
            self._closing.farewell = Farewell(websocket, plan, callbacks[greeted:ended])
        bound = zip(plan.heard, callbacks[ended:], strict=False)
        heard = [(*each, arguments) for each, arguments in bound]
        websocket.owner = self._hearing = Hearing(websocket, heard, self._permit.leave)
        if plan.auto_accept:
            await websocket.accept_unasked()
        for call, arguments in zip(plan.on_connect, callbacks, strict=False):
            greeting = await call.run(websocket, arguments)
            if greeting is not None:
                await websocket.send_event(as_event(greeting))

    async def _end_handler(self, error: BaseException | None) -> BaseException | None:
        """End what runs beside the handler, and return what has ended them."""
        error = self._interruption.end(error)
        if not self.websocket.has_tasks:
            return error
        try:
            failures = await self.websocket.end_tasks()
        except asyncio.CancelledError as cancelled:
            return cancelled
        return foremost(error, failures, self.websocket)

    async def _end_after(self, error: BaseException | None) -> BaseException | None:
        """End the connection as the handler's way out asks, and return what is to be raised on."""
        try:
            if error is None:
                await self._closing.end(_ending_without_error())
                return None
            try:
                if await self._is_handled(error):
                    await self._closing.end(HANDLED_ENDING)
                    return None
            except Exception as raised:  # by the exception handler: it takes the place
                error = raised
            ending = how_to_end(error, self.websocket)
            await self._closing.end(ending)
            return error if ending.is_raised_on else None
        except asyncio.CancelledError as cancelled:  # once more, and without the callbacks
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._closing.end(how_to_end(cancelled, self.websocket), with_farewell=False)
            return cancelled
        except GeneratorExit:
            raise
        except BaseException as failed:  # the server did not take the end: that is its to see to
            return error if isinstance(error, asyncio.CancelledError) else failed
        finally:
            del error  # its traceback holds this frame

    async def _is_handled(self, error: BaseException) -> bool:
        if is_quiet(error, self.websocket):
            note_quiet(self.scope, error)
            if isinstance(error, WebSocketRejected):
                self._observation.note_refusal(error.refusal)
            return False
        if isinstance(error, Refusal) and self.websocket.state is WebSocketState.DISCONNECTED:
            self._observation.note_refusal(error)  # a guard has closed, say
        handler = self.plan.exception_handler(error)
        if handler is None:
            return False
        answer = await ask_handler(handler, self.websocket, error)
        is_answerable = self.websocket.state is WebSocketState.CONNECTING and can_deny(self.scope)
        if isinstance(answer, HttpResponseBase) and is_answerable:
            await self.websocket.send_denial_response(answer)
        return True

    async def _dismiss(self, departure: Departure) -> None:
        """End the connection from a task that is not its own, whatever its handler does."""
        if self.websocket.state is not WebSocketState.RESPONSE:  # the handler is sending that
            code, reason, refusal = departure
            note = reason or "told to go"
            await self._closing.end(Ending(code, reason, refusal, note=note, is_explicit=True))

    async def _clean_up(
        self,
        error: BaseException | None,
        failure: BaseException | None,
        dependencies: Dependencies,
    ) -> BaseException | None:
        """Undo what was done for the connection, and return what is to be raised on.

        A step that fails or hangs skips no other.
        """
        if self._hearing is not None:
            failure = await _despite_cancellation(self._hearing.end(), failure)
        if self._closing.farewell is not None:
            failure = await _despite_cancellation(self._closing.say_farewell(), failure)
        try:
            left = await dependencies.close(error)
            # A dependency may take the exception, or raise one of its own, but not undo a
            # cancellation that came after it.
            if left is not error and not isinstance(failure, asyncio.CancelledError):
                failure = left
        except asyncio.CancelledError as cancelled:
            failure = failure or cancelled
        return await _despite_cancellation(self._observation.end(failure), failure)

    def _let_go(self) -> None:
        """Do what cleanup must not miss even where nothing can be awaited any more."""
        self._observation.let_go()
        self._lease.release()
        self._permit.end()
        if self._slot is not None:
            self._slot.release()
        if self._database_thread is not None:
            self._database_thread.end()
        self.websocket.forget()

    async def open_channel(self) -> str:
        """Return `channel_name`, made now unless it was made before.

        Raises `RuntimeError` if the project has no such channel layer.
        """
        if self.channel_name is None:
            self.channel_layer = get_channel_layer(self.channel_layer_alias)
            if self.channel_layer is None:
                raise RuntimeError(
                    f"settings.CHANNEL_LAYERS has no {self.channel_layer_alias!r} layer"
                )
            self.channel_name = await self.channel_layer.new_channel()
        return self.channel_name


def _ending_without_error() -> Ending:
    """Return how to end after a handler that has returned.

    One that took the server's cancellation for itself has ended because the server stops.
    """
    task = asyncio.current_task()
    was_cancelled = task is not None and task.cancelling() > 0
    return RESTART_ENDING if was_cancelled and shutting_down() else NORMAL_ENDING


async def _despite_cancellation(
    step: Awaitable[None], failure: BaseException | None
) -> BaseException | None:
    """Await a step of the cleanup. Return `failure`, else the cancellation that interrupted it."""
    try:
        await step
    except asyncio.CancelledError as cancelled:
        return failure or cancelled
    return failure


def compile_consumer(plan: Plan) -> type[BoltConsumer]:
    """Return a consumer class that follows `plan`, named and documented like its handler."""
    handler = plan.handler.function
    attributes = {
        "plan": plan,
        "__doc__": handler.__doc__,
        "__module__": getattr(handler, "__module__", __name__),
        "__qualname__": getattr(handler, "__qualname__", plan.name),
    }
    return type(getattr(handler, "__name__", plan.name), (BoltConsumer,), attributes)
