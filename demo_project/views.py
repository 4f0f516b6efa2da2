from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

import bolt_ws
from bolt_ws.auth import create_jwt_for_user
from bolt_ws.metrics import snapshot
from demo_project.api import group
from demo_project.forms import MAX_LENGTH, NoteForm, RoomForm, is_room_name

SUGGESTED_ROOMS = ["lobby", "kitchen", "library"]


@require_safe
@login_required
def rooms(request: HttpRequest) -> HttpResponse:
    """Go to the room that `?room=` names, the lobby if it names none."""
    form = RoomForm(request.GET if "room" in request.GET else {"room": SUGGESTED_ROOMS[0]})
    if form.is_valid():
        return redirect("room", name=form.cleaned_data["room"])
    return render(request, "demo_project/no_such_room.html", {"form": form}, status=400)


@require_safe
@login_required
def room(request: HttpRequest, name: str) -> HttpResponse:
    if not is_room_name(name):
        raise Http404("No room can have this name.")
    suggested = SUGGESTED_ROOMS if name in SUGGESTED_ROOMS else [name, *SUGGESTED_ROOMS]
    context = {"room": name, "rooms": suggested, "note": NoteForm(), "max_length": MAX_LENGTH}
    return render(request, "demo_project/room.html", context)


@require_POST
@login_required
def note(request: HttpRequest, name: str) -> HttpResponse:
    """Send to a room, or to all tabs of one user, from a view that knows no WebSocket."""
    form = NoteForm(request.POST)
    if not is_room_name(name) or not form.is_valid():
        return JsonResponse({"detail": "This note cannot be sent."}, status=400)
    reader = form.cleaned_data["to"]
    readers = bolt_ws.room(group(name)) if reader is None else bolt_ws.user(reader.pk)
    author, text = request.user.get_username(), form.cleaned_data["text"]
    readers.send_json({"type": "note", "name": author, "text": text, "private": bool(reader)})
    return HttpResponse(status=204)


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """Whether to send more clients to this process, for a load balancer, and how many it has."""
    stopping = bolt_ws.shutting_down()
    here = sum(figures["open"] for figures in snapshot()["endpoints"].values())
    return JsonResponse({"stopping": stopping, "open": here}, status=503 if stopping else 200)


@require_POST
@never_cache
def token(request: HttpRequest) -> JsonResponse:
    """A JWT that opens WebSockets for a minute.

    It travels in an address, so it should soon be worthless. A script calls this, so the anonymous
    get 401 and not, as from `login_required`, a page to log in.
    """
    if not request.user.is_authenticated:
        return JsonResponse({"detail": "Log in first."}, status=401)
    claims = {"username": request.user.get_username()}
    return JsonResponse(
        {"token": create_jwt_for_user(request.user, expires_in=60, extra_claims=claims)}
    )
