"""What a monitoring system asks for, and what the receivers of signals were told."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from bolt_ws.prometheus import BoltWSCollector

from .api import told

REGISTRY.register(BoltWSCollector())


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape."""
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


def signals(request: HttpRequest) -> JsonResponse:
    """Say how often each signal was sent."""
    return JsonResponse(dict(told))


urlpatterns = [path("metrics", metrics), path("signals", signals)]
