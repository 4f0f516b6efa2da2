"""What is used of others without being promised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.utils import apply_mask as reference

from bolt_ws.daphne.compatibility import apply_mask, forget_unfinished_message


@given(st.binary(max_size=100), st.binary(min_size=4, max_size=4))
def test_masks(data: bytes, mask: bytes) -> None:
    assert apply_mask(data, mask) == reference(data, mask)


def test_a_close_in_the_middle_of_a_message() -> None:
    """The library takes it once the message is forgotten, and would not otherwise."""
    begun = Frame(Opcode.TEXT, b"begun", fin=False).serialize(mask=True)
    close = Frame(Opcode.CLOSE, Close(4001, "").serialize()).serialize(mask=True)
    for forgets in (True, False):
        protocol = ServerProtocol(state=OPEN)
        protocol.receive_data(begun)
        if forgets:
            forget_unfinished_message(protocol)
        protocol.receive_data(close)
        assert (protocol.parser_exc is None) is forgets
