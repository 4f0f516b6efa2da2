"""How each block is driven, and what it is seen to do: what its page says of it."""

from . import bocadillo, cello, django_bolt, robyn, starlette
from .registry import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "bocadillo", "cello", "django_bolt", "robyn", "starlette"]
