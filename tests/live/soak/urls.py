"""A page that kicks a user."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bolt_ws import user

from .api import KICKED_BY_PAGE


def kick(request: HttpRequest, user_id: str) -> HttpResponse:
    user(user_id).disconnect(*KICKED_BY_PAGE)
    return HttpResponse("kicked")


urlpatterns = [path("kick/<user_id>/", kick)]
