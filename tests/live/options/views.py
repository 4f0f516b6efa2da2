"""The pages besides the admin's."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

BIG = 10_000_000  # bytes

go_ons: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"a page, {request.scheme}, {request.META.get('REMOTE_ADDR')}")


async def stream(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """Two parts, the second when `go_on` was asked for."""

    async def parts() -> AsyncIterator[bytes]:
        try:
            yield b"the first part of " + name.encode()
            await go_ons[name].wait()
            yield b"x" * 100_000
            yield b"the last part of " + name.encode()
        finally:
            print(f"the stream {name} ended", flush=True)

    return StreamingHttpResponse(parts())


def big(request: HttpRequest) -> HttpResponse:
    """More than a socket's buffers hold."""
    return HttpResponse(b"x" * BIG)


async def go_on(request: HttpRequest, name: str) -> HttpResponse:
    go_ons[name].set()
    return HttpResponse("going on")


@csrf_exempt
async def upload(request: HttpRequest) -> JsonResponse:
    body = request.body
    return JsonResponse({"length": len(body), "sha256": hashlib.sha256(body).hexdigest()})


async def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view broke")


async def never(request: HttpRequest) -> HttpResponse:
    await asyncio.Event().wait()
    raise AssertionError("never")
