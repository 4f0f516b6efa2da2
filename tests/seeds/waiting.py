"""The blocks that do not run yet, and the issue that brings what they need."""

from .pages import Key

TESTING = "Testing: the client every Channels user wishes for"

_LINES = {
    TESTING: {
        "django-bolt": (218,),
        "starlette": (729,),
    },
}

WAITING: dict[Key, str] = {
    (page, line): issue
    for issue, pages in _LINES.items()
    for page, lines in pages.items()
    for line in lines
}
