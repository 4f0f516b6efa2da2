from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from demo_project import views

# The login page shows the demo users, which exist only while DEBUG is on.
hint = (
    {"users": settings.DEMO_USERS, "password": settings.DEMO_PASSWORD} if settings.DEBUG else None
)

urlpatterns = [
    path("", views.rooms, name="rooms"),
    path("rooms/<slug:name>/", views.room, name="room"),
    path("rooms/<slug:name>/note/", views.note, name="note"),
    path("health/", views.health, name="health"),
    path("token/", views.token, name="token"),
    path(
        "login/",
        LoginView.as_view(redirect_authenticated_user=True, extra_context={"hint": hint}),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
]
