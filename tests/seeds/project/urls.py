"""No pages: the project is about WebSockets."""

urlpatterns: list[object] = []
