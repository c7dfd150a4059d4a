"""The base of every admin class here: rows may be looked at, never added, edited or deleted."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Model]
else:
    ModelAdmin = admin.ModelAdmin  # cannot be subscripted at run time


class ReadOnlyAdmin(ModelAdmin):
    """Lists and details for whoever may view or change the model; a change happens through actions alone."""

    list_per_page = 50
    show_full_result_count = False

    class Media:
        css = {"all": ("forecasting/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Who holds Django's permission to change the model: `permissions=["act"]` of an action asks here."""
        return super().has_change_permission(request)
