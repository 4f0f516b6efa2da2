"""The classes of hostile handshakes."""

from __future__ import annotations

from tests.hostile.table import HandshakeClass, Row, rows_of

from . import (
    claims,
    credentials,
    guards,
    headers,
    limits,
    origins,
    parameters,
    payloads,
    timing,
    tokens,
)

CLASSES: tuple[HandshakeClass, ...] = (
    *tokens.CLASSES,
    *headers.CLASSES,
    *claims.CLASSES,
    *payloads.CLASSES,
    *credentials.CLASSES,
    *origins.CLASSES,
    *guards.CLASSES,
    *parameters.CLASSES,
    *limits.CLASSES,
    *timing.CLASSES,
)
ROWS: tuple[Row, ...] = tuple(row for kind in CLASSES for row in rows_of(kind))
BY_NAME: dict[str, Row] = {str(row): row for row in ROWS}
