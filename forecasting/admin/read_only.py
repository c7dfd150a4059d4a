"""The base class of most admin classes: rows cannot be added, edited or deleted."""

from django.db.models import Model
from django.http import HttpRequest

from forecasting.admin.export import Exported


class ReadOnlyAdmin(Exported):
    """Lists and details for users who may view or change the model; changes happen through actions only."""

    list_per_page = 50
    show_full_result_count = False

    class Media:
        css = {"all": ("forecasting/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No user may add rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No user may edit rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No user may delete rows."""
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Users with Django's change permission may run actions. Checked for actions with `permissions=["act"]`."""
        return super().has_change_permission(request)
