from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = (
        "Create the demo's users, with the password that the login page shows. "
        "Running it again changes nothing."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "The demo users have a published password: they are made only while DEBUG is on."
            )
        manager = get_user_model()._default_manager
        for username in settings.DEMO_USERS:
            user, _ = manager.get_or_create(username=username)
            if not user.check_password(settings.DEMO_PASSWORD):
                user.set_password(settings.DEMO_PASSWORD)
                user.save(update_fields=["password"])
        users = " or ".join(self.style.SUCCESS(username) for username in settings.DEMO_USERS)
        password = self.style.SUCCESS(settings.DEMO_PASSWORD)
        self.stdout.write(f"Log in as {users} with the password {password}")
