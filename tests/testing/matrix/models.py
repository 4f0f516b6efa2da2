"""The one table of the matrix."""

from django.db import models


class Note(models.Model):
    text = models.CharField(max_length=100)

    class Meta:
        app_label = "matrix"

    def __str__(self) -> str:
        return self.text
