"""The reading half of a connection: from bytes to messages, no faster than they are taken.

`websockets` reads the frames, one at a time. What comes whole in one piece, as nearly everything
does, is read here. A frame that is answered by the server itself waits until the application has
answered the messages before it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from .assembly import Assembly
from .compatibility import apply_mask, forget_unfinished_message
from .frames import BINARY, CLOSE, MASK_SIZE, OPCODE, PING, PONG, TEXT, Head, encode, read_head
from .logs import quiet_logger
from .order import FRAMES_A_TURN, Order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from websockets.extensions import Extension

MAX_INFLATED: Final = 1024 * 1024
"""Characters and bytes read ahead, behind which nothing is looked at: what was read compressed may
be a thousand times as much."""


class Reader(Order):
    """What comes from the client, frame by frame."""

    __slots__ = (
        "_at",
        "_extensions",
        "_has_heard",
        "_is_in_message",
        "_left",
        "_limits",
        "_message",
        "_protocol",
        "_whole_limit",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: tuple[int | None, int | None]
    ) -> None:
        super().__init__(loop)
        self._limits = limits
        self._whole_limit = min(limit for limit in (*limits, 1 << 63) if limit)
        self._extensions: Sequence[Extension] = ()
        self._protocol: ServerProtocol | None = None
        self._has_heard = False
        self._at = 0
        """How much of what is pending has been looked at."""
        self._left = 0
        """Bytes of the frame that the library reads which have not come yet."""
        self._message: Assembly | None = None
        """What comes in several pieces."""
        self._is_in_message = False
        """The frame that the library reads is a part of it."""

    # From the transport

    def data_received(self, data: bytes) -> None:
        """Read frames. The transport calls it."""
        self._has_heard = True
        if (
            self._is_open
            and not self._pending
            and not self._left
            and self._message is None
            and self._read_whole(data)
        ):
            if self._is_open and self._is_lagging():
                self._pause_reading()
            return
        if self._is_over and not self._is_open:
            return  # it is read only so that the end of the stream is seen
        self._pending = self._pending + data if self._pending else data
        if self._is_open:
            self._read_frames()
        if self._is_lagging():
            self._pause_reading()

    def _read_whole(self, data: bytes) -> bool:
        """Read data that is one whole frame of one of the common kinds. Return whether it was."""
        if len(data) < 6:
            return False
        first, second = data[0], data[1]
        size, start = second & 0x7F, 6
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 8
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 14
        if len(data) != start + size or second < 0x80 or size > self._whole_limit:
            return False
        if first != TEXT and first != BINARY and (first not in (PING, PONG, CLOSE) or size > 125):
            return False
        payload = apply_mask(data[start:], data[start - 4 : start])
        if first == TEXT:
            try:
                self._deliver(payload.decode())
            except UnicodeDecodeError:
                return False
        elif first == BINARY:
            self._deliver(payload)
        elif first == PING:
            if self._has_to_wait():
                return False
            self._answer_ping([encode(PONG, payload)])
        elif first == CLOSE:
            return self._can_send and not self._has_to_wait() and self._read_close(payload)
        return True

    def _read_close(self, payload: bytes) -> bool:
        try:
            close = Close.parse(payload)
        except (ProtocolError, UnicodeDecodeError):
            return False
        self._transport.write(encode(CLOSE, payload))
        self._is_parted = self._at == len(self._pending)
        self._write_all([b""])
        self._stop_reading_frames()
        self._peer_ended(close)
        return True

    def _read_frames(self, turn: int = FRAMES_A_TURN) -> None:
        """Read what is pending, as far as it is there, may be answered and is not too much.

        Others have a turn after `turn` frames or parts of them.
        """
        enough = MAX_INFLATED if self._extensions else sys.maxsize
        while self._at < len(self._pending) and self._queue_size <= enough:
            turn -= 1
            if turn < 0:
                self._read_later()
                break
            if self._left:
                chunk = self._pending[self._at : self._at + self._left]
                self._at += len(chunk)
                self._left -= len(chunk)
                self._feed(chunk, is_payload=True)
            elif not self._begin_frame():
                break
        self._pending = self._pending[self._at :]
        self._at = 0

    def _begin_frame(self) -> bool:
        """Read the head of a frame. Return whether there is one, and it need not wait."""
        head = read_head(self._pending, self._at)
        if head is None:
            return False
        is_data = (
            head.begins_message(may_be_compressed=bool(self._extensions))
            if self._message is None
            else head.is_continuation
        )
        if not is_data and self._has_to_wait():
            self._wait_for_answers()
            return False
        if is_data and self._message is None:
            end = self._at + head.size + head.payload_size
            if len(self._pending) >= end and self._read_whole(self._pending[self._at : end]):
                self._at = end
                return True
        begun, self._at = self._at, self._at + head.size
        chunk = self._pending[begun : self._at]
        self._prepare_for(head, chunk, is_data=is_data)
        self._left = head.payload_size
        self._feed(chunk, is_payload=False)
        return True

    def _prepare_for(self, head: Head, chunk: bytes, *, is_data: bool) -> None:
        protocol = self._protocol or self._make_protocol()
        opcode = head.first & OPCODE
        self._is_in_message = is_data
        if is_data:
            if self._message is None:
                self._message = Assembly(is_text=opcode == Opcode.TEXT)
            # What may be compressed is not text before the library has seen it.
            self._message.begin_frame(b"" if self._extensions else chunk[-MASK_SIZE:])
        elif opcode == Opcode.CLOSE:
            # RFC 6455 section 5.4 allows a control frame in the middle of a message; the library
            # takes this one as an error.
            forget_unfinished_message(protocol)

    def _make_protocol(self) -> ServerProtocol:
        protocol = ServerProtocol(state=OPEN, max_size=self._limits, logger=quiet_logger)
        protocol.extensions = list(self._extensions)
        self._protocol = protocol
        return protocol

    def _feed(self, chunk: bytes, *, is_payload: bool) -> None:
        protocol = self._protocol
        assert protocol is not None
        try:
            if is_payload and self._is_in_message and self._message is not None:
                self._message.add_part(chunk)
            protocol.receive_data(chunk)
            for frame in protocol.events_received():  # at most one: no more was fed
                assert isinstance(frame, Frame)
                self._frame_received(frame, protocol)
        except UnicodeDecodeError as error:
            protocol.fail(CloseCode.INVALID_DATA, f"{error.reason} at {error.start}")
            self._protocol_ended(protocol)
        self._write_all(protocol.data_to_send())
        if protocol.parser_exc is not None and self._is_open:
            self._protocol_ended(protocol)

    def _frame_received(self, frame: Frame, protocol: ServerProtocol) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._protocol_ended(protocol)
        elif frame.opcode is Opcode.PING:
            self._answer_ping(protocol.data_to_send())
        elif frame.opcode is not Opcode.PONG and self._message is not None:
            self._message.end_frame(bytes(frame.data), is_last=frame.fin)
            if frame.fin:
                message, self._message = self._message, None
                self._deliver(message.joined())

    def _protocol_ended(self, protocol: ServerProtocol) -> None:
        failed = protocol.close_rcvd is None or protocol.parser_exc is not None
        self._is_parted = not failed and self._at == len(self._pending)
        self._stop_reading_frames()
        self._peer_ended(protocol.close_sent if failed else protocol.close_rcvd)

    def _stop_reading_frames(self) -> None:
        self._is_open = False
        self._pending, self._at, self._left = b"", 0, 0
        self._message = None
        self._resume_reading()  # and discard what comes, so that the end of the stream is seen

    def _peer_ended(self, close: Close | None) -> None:
        """Take note of the client's close frame, or of what its error was answered with."""
        raise NotImplementedError
