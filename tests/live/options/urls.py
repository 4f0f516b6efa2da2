"""The pages of the site."""

from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("page/", views.page),
    path("big/", views.big),
    path("stream/<name>/", views.stream),
    path("go-on/<name>/", views.go_on),
    path("upload/", views.upload),
    path("broken/", views.broken),
    path("never/", views.never),
]
