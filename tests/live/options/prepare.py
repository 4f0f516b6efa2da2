"""Make the site's tables and its one user: `python -m tests.live.options.prepare`."""

import django
from django.core.management import call_command

USERNAME, PASSWORD = "ada", "the password of ada"

if __name__ == "__main__":
    django.setup()
    from django.contrib.auth.models import User

    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_superuser(USERNAME, password=PASSWORD)
