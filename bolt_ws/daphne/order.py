"""The order of answers: the server's own wait for the application's, but not for ever."""

from __future__ import annotations

import asyncio
from typing import Final

from .inbox import Inbox

PATIENCE: Final = 0.1
"""Seconds that a ping or a close waits for the application to answer what came before."""
FRAMES_A_TURN: Final = 256
"""Frames and parts of frames that are read before others have a turn."""


class Order(Inbox):
    """Who answers first, and who reads next."""

    __slots__ = ("_is_impatient", "_is_open", "_is_waiting_its_turn", "_owed_pong", "_patience")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._is_open = False
        """Frames are read: the handshake is done, and the client has not closed."""
        self._is_impatient = False
        """A ping or a close has waited for its answer long enough."""
        self._patience: asyncio.TimerHandle | None = None
        self._is_waiting_its_turn = False
        self._owed_pong: list[bytes] = []
        """What answers the last ping, while the transport is full."""

    def _read_frames(self, turn: int = FRAMES_A_TURN) -> None:
        """Read what is pending, as far as it is there, may be answered and is not too much."""
        raise NotImplementedError

    def _read_on(self) -> None:
        if self._is_open:
            self._read_frames()

    def _read_later(self) -> None:
        if not self._is_waiting_its_turn:
            self._is_waiting_its_turn = True
            self._loop.call_soon(self._read_in_turn)

    def _read_in_turn(self) -> None:
        self._is_waiting_its_turn = False
        self._read_on()
        if not self._is_lagging():
            self._resume_reading()

    def _has_to_wait(self) -> bool:
        """Tell whether the server must not answer yet: the application does first."""
        if not self._can_send:  # the application has closed, and answers no more
            return False
        return (self._is_answering or bool(self._queue)) and not self._is_impatient

    def _wait_for_answers(self) -> None:
        if self._patience is None:
            self._patience = self._loop.call_later(PATIENCE, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        self._read_impatiently()

    def _read_impatiently(self, turn: int = FRAMES_A_TURN) -> None:
        """Read what is pending, whoever would have to answer first."""
        if self._is_open:
            self._is_impatient = True
            self._read_frames(turn)
            self._is_impatient = False
            if not self._is_lagging():
                self._resume_reading()

    def _answer_ping(self, pong: list[bytes]) -> None:
        if self._is_full:  # the newest of several may be the only one answered (section 5.5.3)
            self._owed_pong = pong
        else:
            self._write_all(pong)

    def resume_writing(self) -> None:
        """Have senders go on, and answer the last ping. The transport calls it."""
        super().resume_writing()
        if self._owed_pong and self._is_open:
            self._write_all(self._owed_pong)
        self._owed_pong = []
