from django import forms
from django.contrib.auth import get_user_model

MAX_LENGTH = 500  # characters of a message or a note


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


class NoteForm(forms.Form):
    """What a view sends: to everyone in a room, or to all tabs of one user."""

    text = forms.CharField(
        max_length=MAX_LENGTH,
        widget=forms.TextInput(
            {"aria-label": "Note", "placeholder": "A note", "autocomplete": "off"}
        ),
    )
    to = forms.ModelChoiceField(
        get_user_model()._default_manager.order_by("username"),
        required=False,
        empty_label="everyone here",
        widget=forms.Select({"aria-label": "To"}),
    )
