"""Make the tables and the users of the site: `python -m tests.live.databases.prepare`."""

import sys

import django

django.setup()

# Django is set up now, which these need.
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402

call_command("migrate", verbosity=0)
numbers = range(1, int(sys.argv[1]) + 1)
User.objects.bulk_create(User(pk=number, username=f"user-{number}") for number in numbers)
