"""States and close codes."""

import pytest

from bolt_ws import CloseCode, WebSocketException, WebSocketState


def test_states_keep_the_numbers_of_starlette() -> None:
    assert {state.name: state.value for state in WebSocketState} == {
        "CONNECTING": 0,
        "CONNECTED": 1,
        "DISCONNECTED": 2,
        "RESPONSE": 3,
    }


def test_a_state_refuses_attributes_and_names_the_context() -> None:
    with pytest.raises(AttributeError, match=r"websocket\.context\.user"):
        WebSocketState.CONNECTED.user = "alice"
    assert not hasattr(WebSocketState.CONNECTED, "user")


@pytest.mark.parametrize(
    ("page", "bolt"),
    [
        ("NORMAL_CLOSURE", "NORMAL"),
        ("NO_STATUS_RECEIVED", "NO_STATUS"),
        ("ABNORMAL_CLOSURE", "ABNORMAL"),
        ("INVALID_FRAME_PAYLOAD_DATA", "INVALID_PAYLOAD"),
        ("SERVER_ERROR", "INTERNAL_ERROR"),
    ],
)
def test_close_codes_go_by_both_names(page: str, bolt: str) -> None:
    assert CloseCode[page] is CloseCode[bolt]


def test_a_close_code_is_its_number() -> None:
    assert CloseCode.POLICY_VIOLATION == 1008


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1011, 1014, 3000, 4401, 4999])
def test_a_code_that_may_be_sent(code: int) -> None:
    assert WebSocketException(code).code == code


@pytest.mark.parametrize("code", [-1, 0, 200, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536])
def test_a_code_that_must_not_be_sent(code: int) -> None:
    with pytest.raises(ValueError, match=f"close code {code} must not be sent"):
        WebSocketException(code)


@pytest.mark.parametrize("reason", ["", "a" * 123, "é" * 61, "🙂" * 30])
def test_a_reason_that_fits(reason: str) -> None:
    assert WebSocketException(1000, reason).reason == reason


@pytest.mark.parametrize("reason", ["a" * 124, "é" * 62, "🙂" * 31])
def test_a_reason_that_is_too_long_in_bytes(reason: str) -> None:
    with pytest.raises(ValueError, match="at most 123 bytes"):
        WebSocketException(1000, reason)
