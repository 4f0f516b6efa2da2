"""Pages for load balancers."""

import time

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bolt_ws import shutting_down


def health(request: HttpRequest) -> HttpResponse:
    """Answer 503 once the server is stopping."""
    return HttpResponse(status=503 if shutting_down() else 200)


def slow(request: HttpRequest) -> HttpResponse:
    """The same, and not before the server is stopping."""
    print("/slow has begun", flush=True)
    while not shutting_down():
        time.sleep(0.01)
    return health(request)


urlpatterns = [path("health", health), path("slow", slow)]
