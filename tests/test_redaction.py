"""No credential in a log."""

import io
import logging
import logging.config
import time
from collections.abc import Iterator
from typing import Any

import pytest
from daphne.access import AccessLogGenerator
from hypothesis import given
from hypothesis import strategies as st

from bolt_ws import BoltAPI, WebSocket, redaction
from bolt_ws.admission import Admission
from bolt_ws.auth import APIKeyAuthentication, Authentication, Identity, Subprotocol
from bolt_ws.auth import Cookie as KeyCookie
from bolt_ws.auth import Header as KeyHeader
from bolt_ws.handshake import Handshake
from bolt_ws.redaction import LOGGERS, RedactTokens, install, redact
from tests.support import make_token

TOKEN = make_token(exp=2_000_000_000)
SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def own_parameters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_parameters", "_headers", "_schemes", "_prefixes"):
        monkeypatch.setattr(redaction, name, set(getattr(redaction, name)))
    monkeypatch.setattr(redaction, "_marks", redaction._marks)
    yield
    monkeypatch.undo()
    redaction._parameter_pattern.cache_clear()
    redaction._mark_pattern.cache_clear()


@pytest.mark.parametrize("name", LOGGERS)
@pytest.mark.parametrize(
    ("message", "args", "written"),
    [
        ("WebSocket /ws?token=eyJ.a.b [accepted]", (), "WebSocket /ws?token=[redacted] [accepted]"),
        ("%s - %s", ("1.2.3.4", "/ws?a=1&token=eyJ&b=2"), "1.2.3.4 - /ws?a=1&token=[redacted]&b=2"),
        ("%s", ("/ws?%74oken=eyJ",), "/ws?%74oken=[redacted]"),
        ("%(path)s %(n)d", ({"path": "/ws?ticket=abc", "n": 1},), "/ws?ticket=[redacted] 1"),
        ("%d tokens", (2,), "2 tokens"),
    ],
)
def test_no_token_is_logged(
    name: str,
    message: str,
    args: tuple[object, ...],
    written: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    install()  # for the second time: the app has done it
    logger = logging.getLogger(name)
    assert sum(isinstance(each, RedactTokens) for each in logger.filters) == 1
    with caplog.at_level(logging.INFO, logger=name):
        logger.info(message, *args)
    assert [record.getMessage() for record in caplog.records] == [written]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        # A query parameter that a backend takes
        ("/ws?token=s3cr3t", "/ws?token=[redacted]"),
        ("/ws?a=1&token=s3cr3t&b=2", "/ws?a=1&token=[redacted]&b=2"),
        ("/ws?token=s3cr3t&token=s3cr3t", "/ws?token=[redacted]&token=[redacted]"),
        ("/ws?TOKEN=s3cr3t", "/ws?TOKEN=[redacted]"),
        ("/ws?%74%6Fk%65n=s3cr3t", "/ws?%74%6Fk%65n=[redacted]"),
        ("/ws?token=s3c'r3t/+%20", "/ws?token=[redacted]"),
        ("/ws?ticket=s3cr3t", "/ws?ticket=[redacted]"),
        ("'query_string': b'token=s3cr3t'", "'query_string': b'token=[redacted]"),
        ('"GET /ws?token=s3cr3t" 404', '"GET /ws?token=[redacted]" 404'),
        ("cookie: sessionid=s3cr3t", "cookie: sessionid=[redacted]"),
        ("/ws?tokens=3", "/ws?tokens=3"),
        ("/ws?max_token=3", "/ws?max_token=3"),
        ("/ws?token", "/ws?token"),
        # The Authorization header, as servers, clients and scopes show it
        ("Authorization: Bearer s3cr3t", "Authorization: Bearer [redacted]"),
        ("authorization: s3cr3t", "authorization: [redacted]"),
        ("authorization: Basic s3cr3t=\r\nhost: a", "authorization: Basic [redacted]\r\nhost: a"),
        ("[(b'authorization', b'Bearer s3cr3t')]", "[(b'authorization', b'Bearer [redacted]')]"),
        ("[(b'authorization', b'Token s3cr3t')]", "[(b'authorization', b'Token [redacted]')]"),
        ("[(b'authorization', b's3cr3t')]", "[(b'authorization', b'[redacted]')]"),
        ("{'authorization': 'Bearer s3cr3t'}", "{'authorization': 'Bearer [redacted]'}"),
        ('{"Authorization":"Bearer s3cr3t"}', '{"Authorization":"Bearer [redacted]"}'),
        ("'HTTP_AUTHORIZATION': 'Bearer s3cr3t'", "'HTTP_AUTHORIZATION': 'Bearer [redacted]'"),
        ("BEARER s3cr3t", "BEARER [redacted]"),
        ("a bearer of news", "a bearer [redacted] news"),  # rather that than a token
        # A subprotocol
        ("bolt.v1, bearer.s3cr3t", "bolt.v1, bearer.[redacted]"),
        ("['bolt.v1', 'bearer.s3cr3t']", "['bolt.v1', 'bearer.[redacted]']"),
        # A JSON Web Token anywhere
        (TOKEN, "[redacted]"),
        (f"ValueError: {TOKEN!r} is bad", "ValueError: '[redacted]' is bad"),
        (f"/ws/{TOKEN}/x", "/ws/[redacted]/x"),
        (f"/ws?t={TOKEN}&b=2", "/ws?t=[redacted]&b=2"),
        (TOKEN.replace(".", "%2E"), "[redacted]"),
        (TOKEN.rpartition(".")[0] + ".", "[redacted]"),  # without a signature
        (TOKEN[:20], "[redacted]"),  # cut off
        # Nothing of the kind
        ("/ws?a=1", "/ws?a=1"),
        ("heyJude", "heyJude"),
        ("", ""),
    ],
)
def test_what_is_redacted(text: str, written: str) -> None:
    assert redact(text) == written
    assert redact(written) == written
    assert SECRET not in written


def test_parameters_of_a_backend() -> None:
    class ByKey(Authentication):
        taken = frozenset({"Odd_Key", "k+y"})

        async def authenticate(self, websocket: Handshake) -> Identity | None:
            return None

    text = "/ws?odd_key=s3cr3t&k+y=s3cr3t&%6b%2By=s3cr3t&b=2"
    assert redact(text) == text

    async def handler(websocket: WebSocket) -> None: ...

    BoltAPI().websocket("/", auth=[ByKey()])(handler)
    expected = "/ws?odd_key=[redacted]&k+y=[redacted]&%6b%2By=[redacted]&b=2"
    assert redact(text) == expected
    assert redact("/ws?Odd_Key=s3cr3t") == "/ws?Odd_Key=[redacted]"


class Opaque:
    """An argument whose text has a token."""

    def __str__(self) -> str:
        return f"/ws?token={SECRET}"


def logged(log: Any, formatter: logging.Formatter | None = None) -> str:
    """Return what a handler of a server's logger writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("daphne.server")
    logger.addHandler(handler)
    try:
        log(logger)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def test_an_objects_text() -> None:
    text = logged(lambda logger: logger.error("%s", Opaque()))
    assert text == "/ws?token=[redacted]\n"
    text = logged(lambda logger: logger.error(Opaque()))
    assert text == "/ws?token=[redacted]\n"


def test_a_header_in_two_arguments() -> None:
    text = logged(lambda logger: logger.error("< %s: %s", "Authorization", "Basic s3cr3t"))
    assert text == "< Authorization: Basic [redacted]\n"


def test_an_exception_and_its_cause() -> None:
    def log(logger: logging.Logger) -> None:
        try:
            try:
                raise KeyError(f"/ws?token={SECRET}")
            except KeyError:
                raise ValueError(f"{TOKEN!r} is bad") from None
        except ValueError:
            logger.exception("bad")
        try:
            raise ExceptionGroup("two", [ValueError(TOKEN), KeyError(f"token={SECRET}")])
        except ExceptionGroup:
            logger.exception("bad")

    text = logged(log)
    assert "ValueError: '[redacted]' is bad" in text
    assert "ExceptionGroup: two" in text
    assert "test_redaction.py" in text  # it is a traceback still
    assert "eyJ" not in text
    assert SECRET not in text


def test_an_exception_without_a_credential_is_left_to_the_formatter() -> None:
    class Own(logging.Formatter):
        def formatException(self, ei: Any) -> str:  # noqa: N802
            return f"<{ei[0].__name__}>"

    def log(logger: logging.Logger) -> None:
        try:
            raise KeyError("x")
        except KeyError:
            logger.exception("bad")

    assert logged(log, Own()) == "bad\n<KeyError>\n"
    assert logged(lambda logger: logger.error("bad", exc_info=True)).endswith("NoneType: None\n")


def test_a_stack() -> None:
    record = logging.LogRecord("uvicorn", logging.INFO, "", 0, "m", (), None)
    record.stack_info = f"Stack:\n  {TOKEN}"
    assert RedactTokens().filter(record) is True
    assert record.stack_info == "Stack:\n  [redacted]"


def test_the_arguments_stay_what_formatters_expect() -> None:
    """uvicorn's access formatter takes five of them apart."""
    args = ("1.2.3.4:5", "GET", f"/ws?token={SECRET}", "1.1", 404)
    message = '%s - "%s %s HTTP/%s" %d'
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, message, args, None)
    RedactTokens().filter(record)
    assert record.args == ("1.2.3.4:5", "GET", "/ws?token=[redacted]", "1.1", 404)


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("%s", (Broken(),)),
        ("%d", (f"token={SECRET}",)),
        ("%s %s", (f"token={SECRET}",)),
        ("%(a)s", ({"b": f"token={SECRET}"},)),
        (Broken(), ()),
        (b"bytes", ()),
        (None, None),
    ],
)
def test_it_never_raises(message: Any, args: Any) -> None:
    record = logging.LogRecord("daphne.server", logging.INFO, "", 0, message, args, None)
    assert RedactTokens().filter(record) is True
    assert SECRET not in repr(record.args)


def test_what_cannot_be_redacted_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> str:
        raise RecursionError

    monkeypatch.setattr(redaction, "redact", fail)
    try:
        raise ValueError(SECRET)
    except ValueError:
        text = logged(lambda logger: logger.exception("token=%s", SECRET))
    assert text == "A log record was dropped: it could not be redacted\n"


@given(st.text(), st.lists(st.text() | st.integers() | st.binary(), max_size=3))
def test_no_record_is_lost(message: str, args: list[Any]) -> None:
    record = logging.LogRecord("daphne.server", logging.INFO, "", 0, message, tuple(args), None)
    assert RedactTokens().filter(record) is True
    assert "dropped" not in str(record.msg)


@pytest.mark.parametrize("parent", ["", "django", "daphne", "uvicorn"])
def test_loggers_of_any_name_below_a_servers(parent: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger(parent).addHandler(handler)
    try:
        install()
        for name in ("django.security.Whatever", "daphne.new", "uvicorn.new", "shop"):
            logging.getLogger(name).error("/ws?token=s3cr3t")
    finally:
        logging.getLogger(parent).removeHandler(handler)
    lines = stream.getvalue().splitlines()
    assert lines.count("/ws?token=[redacted]") == (1 if parent else 3)
    # The project's own records are its own.
    assert lines.count("/ws?token=s3cr3t") == (0 if parent else 1)


def test_daphnes_access_log() -> None:
    install()
    stream = io.StringIO()
    log = AccessLogGenerator(stream)
    details = {"client": "1.2.3.4:5", "method": "GET", "path": f"/ws?token={SECRET}&a=1"}
    log("http", "complete", {**details, "status": 404, "size": 1})
    log("websocket", "connecting", {**details, "path": f"/ws/{TOKEN}"})
    first, second = stream.getvalue().splitlines()
    assert first.startswith("1.2.3.4:5 - - [")
    assert first.endswith('] "GET /ws?token=[redacted]&a=1" 404 1')
    assert second.endswith('] "WSCONNECTING /ws/[redacted]" - -')
    assert not hasattr(AccessLogGenerator.write_entry.__wrapped__, "__wrapped__")


def test_it_can_be_named_in_logging() -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"tokens": {"()": "bolt_ws.redaction.RedactTokens"}},
            "handlers": {
                "own": {
                    "class": "logging.StreamHandler",
                    "stream": (stream := io.StringIO()),
                    "filters": ["tokens"],
                }
            },
            "loggers": {"tests.shop": {"handlers": ["own"]}},
        }
    )
    logging.getLogger("tests.shop").error("/ws?token=s3cr3t")
    assert stream.getvalue() == "/ws?token=[redacted]\n"


@pytest.mark.timing
def test_it_is_fast_on_text_that_is_hostile() -> None:
    for text in (
        "eyJ" * 30_000,
        "eyJaaaa." * 10_000,
        "eyJaaaa%2e" * 10_000,
        "authorization" * 10_000,
        "authorization: " * 10_000,
        "authorization" + "'" * 100_000,
        "bearer " + " " * 100_000,
        "token=" * 10_000,
        "%74" * 30_000,
        "%" * 100_000,
        "x-api-key" * 10_000,
        "x-api-key: " * 10_000,
        "x-api-key" + "'" * 100_000,
        "x-api-key: " + "bearer " * 10_000,
    ):
        start = time.perf_counter()
        redact(text)
        assert time.perf_counter() - start < 1.0, text[:20]


KEYS = APIKeyAuthentication(
    find=lambda digest: None,
    sources=[
        KeyHeader("X-Service-Key", None),
        KeyHeader("X-Signed", "Device"),
        KeyCookie("api"),
        Subprotocol("key"),
    ],
)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("< X-Service-Key: abc", "< X-Service-Key: [redacted]"),
        ("< x-service-key: abc (for good)", "< x-service-key: [redacted] (for good)"),
        ("[(b'x-service-key', b'abc'), 1]", "[(b'x-service-key', b'[redacted]'), 1]"),
        ("{'X-Service-Key': 'abc'}", "{'X-Service-Key': '[redacted]'}"),
        ("< X-Signed: Device abc", "< X-Signed: Device [redacted]"),
        ("< Cookie: a=1; api=abc", "< Cookie: a=1; api=[redacted]"),
        ("Sec-WebSocket-Protocol: chat, key.abc", "Sec-WebSocket-Protocol: chat, key.[redacted]"),
        ("monkey.abc, my-x-service-key: abc", "monkey.abc, my-x-service-key: abc"),
    ],
)
def test_what_backends_take_from_other_places(text: str, written: str) -> None:
    assert redact(text) == text
    Admission([KEYS], [])
    assert redact(text) == written
    assert redact(written) == written


def test_the_header_of_api_keys_is_known() -> None:
    assert redact("< X-API-Key: abc def") == "< X-API-Key: [redacted] def"
    assert redact("(b'x-api-key', b'abc')") == "(b'x-api-key', b'[redacted]')"
