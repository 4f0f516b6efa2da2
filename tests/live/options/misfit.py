"""The same application, on a Daphne or Twisted that does not fit ours."""

from bolt_ws.daphne import compatibility

compatibility.misfit = lambda: "a test says so"

from .asgi import application  # noqa: E402

__all__ = ["application"]
