"""How each block is driven, and what it is seen to do: what its page says of it."""

from . import django_bolt, robyn, starlette
from .registry import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "django_bolt", "robyn", "starlette"]
