"""A page that sends to rooms."""

import json

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bolt_ws import room


def send(request: HttpRequest) -> HttpResponse:
    """Send each message of the body, a JSON array, to the room that it names."""
    for message in json.loads(request.body):
        room(message["room"]).send_json(message)
    return HttpResponse("sent")


urlpatterns = [path("send/", send)]
