"""Users who are in no database, so that a server and the tests have the same ones."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import User

ALICE = User(pk=1, username="alice", password="the hash of a password")
GONE = User(pk=2, username="gone", password="the hash of another", is_active=False)
USERS = {user.pk: user for user in (ALICE, GONE)}


class FixedUsers(BaseBackend):
    """Knows them. Whether one is active, it leaves to others."""

    def get_user(self, user_id: Any) -> User | None:
        """Return a user."""
        return USERS.get(user_id)
