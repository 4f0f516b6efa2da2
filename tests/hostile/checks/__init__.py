"""The checks of the pipeline, each with how to switch it off and the rows that it keeps out."""

from __future__ import annotations

from tests.hostile.switching import Check

from . import credentials, pipeline

CHECKS: tuple[Check, ...] = (*credentials.CHECKS, *pipeline.CHECKS)
