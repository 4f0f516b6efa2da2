"""Make the project's tables and its users: `python -m tests.live.soak.prepare`."""

import django
from django.core.management import call_command

USERS = 50

if __name__ == "__main__":
    django.setup()
    from django.contrib.auth.models import User

    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.bulk_create(
        User(pk=number, username=f"user {number}") for number in range(1, USERS + 1)
    )
