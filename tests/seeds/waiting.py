"""The blocks that do not run yet, and the issue that brings what they need."""

from .pages import Key

CONNECTION = "The connection: everything the five pages let a handler do"
TESTING = "Testing: the client every Channels user wishes for"

_LINES = {
    CONNECTION: {
        "bocadillo": (
            *(26, 74, 100, 106, 116, 125, 137, 143, 153, 159, 171, 195, 207, 222, 235, 246, 279),
        ),
        "cello": (14, 48, 70, 91, 128, 146, 172, 195, 221, 286, 330),
        "robyn": (78, 98, 174),
        "starlette": (7, 261, 311, 380, 419, 459, 551, 608, 773, 813),
    },
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
