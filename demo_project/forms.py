from django import forms


class RoomForm(forms.Form):
    """A room's name. The pages and the WebSocket endpoint ask it, so they cannot disagree."""

    room = forms.SlugField(
        max_length=32,
        error_messages={
            "invalid": "A room's name has letters, digits, hyphens and underscores only."
        },
    )


def is_room_name(name: str) -> bool:
    return RoomForm({"room": name}).is_valid()
