"""What an issuer publishes, over HTTPS: bounded in time and in size."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from time import monotonic
from typing import Any, Final

from jwt import PyJWKClientConnectionError, PyJWKClientError

MAX_BYTES: Final = 1024 * 1024
"""Bytes of an answer. A key set has some thousands."""

_CHUNK: Final = 65_536


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow nothing: who can redirect could name any host."""


def download_json(url: str, *, step: float, total: float) -> Any:
    """Return what the JSON at `url` says.

    No step, the connect or a read, takes longer than `step` seconds, and the body is given up after
    `total`. Raises `PyJWKClientConnectionError` if it cannot be fetched, and `PyJWKClientError` if
    it is too long or no JSON.
    """
    # PyJWKClient would read a body of any length, for as long as it drips.
    deadline = monotonic() + total
    opener = urllib.request.build_opener(_NoRedirects())
    body = bytearray()
    try:
        with opener.open(url, timeout=step) as response:
            while chunk := response.read1(_CHUNK):
                body += chunk
                if len(body) > MAX_BYTES:
                    raise PyJWKClientError(f"the answer has over {MAX_BYTES} bytes")
                if monotonic() > deadline:
                    raise PyJWKClientConnectionError(f"the answer took over {total:g} s")
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise PyJWKClientConnectionError(str(error)) from error
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PyJWKClientError("the answer is no JSON") from error
