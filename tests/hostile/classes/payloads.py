"""What the payload of a well signed token may be besides an object with claims."""

from __future__ import annotations

from tests.hostile.table import HandshakeClass
from tests.hostile.tokens import claiming, nested, sign
from tests.hostile.wire import Attempt, with_token

GOOD = '"sub":"7","exp":9999999999'


def payload(text: str) -> Attempt:
    return with_token(claiming(text))


def raw(data: bytes) -> Attempt:
    return with_token(sign(payload=data))


CLASSES = (
    HandshakeClass(
        name="payload, JSON",
        good=lambda: payload(f' {{{GOOD},"more":[[1.5],null]}} '),
        rows={
            "nothing": lambda: payload(""),
            "a list": lambda: payload(f"[{{{GOOD}}}]"),
            "a text": lambda: payload('"7"'),
            "null": lambda: payload("null"),
            "a comma more": lambda: payload(f"{{{GOOD},}}"),
            "half of it": lambda: payload(f"{{{GOOD}"),
            "more behind it": lambda: payload(f"{{{GOOD}}}{{}}"),
            "NaN in another claim": lambda: payload(f'{{{GOOD},"n":NaN}}'),
            "Infinity in another claim": lambda: payload(f'{{{GOOD},"n":[-Infinity]}}'),
            "nested deeply": lambda: payload(f'{{{GOOD},"n":{nested(2500)}}}'),
            "a number of 5,000 digits": lambda: payload(f'{{{GOOD},"n":{"9" * 5000}}}'),
            "a control character": lambda: payload(f'{{{GOOD},"n":"\n"}}'),
            "a byte order mark": lambda: payload(f"\ufeff{{{GOOD}}}"),
            "no UTF-8": lambda: raw(f'{{{GOOD},"n":"'.encode() + b'\xff"}'),
            "UTF-16": lambda: raw(f"{{{GOOD}}}".encode("utf-16")),
            "bytes": lambda: raw(bytes(range(256))),
        },
    ),
    HandshakeClass(
        name="payload, a claim twice",
        good=lambda: payload(f'{{{GOOD},"a":1,"b":1}}'),
        rows={
            "sub": lambda: payload(f'{{"sub":"1",{GOOD}}}'),
            "exp": lambda: payload(f'{{{GOOD},"exp":9999999998}}'),
            "is_staff": lambda: payload(f'{{{GOOD},"is_staff":false,"is_staff":true}}'),
            "spelled in two ways": lambda: payload(f'{{{GOOD},"\\u0073ub":"1"}}'),
            "one claim within another": lambda: payload(f'{{{GOOD},"more":{{"a":1,"a":2}}}}'),
        },
    ),
)
