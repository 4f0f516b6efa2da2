"""Pages, to see that HTTP is served beside the WebSockets, and reaches them."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

from bolt_ws import disconnect_user


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("a page")


def disconnect(request: HttpRequest, user_id: str) -> HttpResponse:
    return HttpResponse(str(disconnect_user(user_id, reason="logged out")))


urlpatterns = [path("page/", page), path("disconnect/<user_id>/", disconnect)]
