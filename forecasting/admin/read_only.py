"""The base class of most admin classes: rows cannot be added, edited or deleted."""

from django.db.models import Model
from django.http import HttpRequest

from forecasting.admin.export import Exported


def on_pages_of(table: str, request: HttpRequest) -> bool:
    """Whether this is a page of another table, such as `auth_user`, whose rows take others along when they are deleted."""
    page = request.resolver_match.url_name if request.resolver_match else None
    return (page or "").startswith(f"{table}_")


class ReadOnlyAdmin(Exported):
    """Lists and details for users who may view or change the model; changes happen through actions only."""

    deleted_with = ""  # the table whose rows take these along when they are deleted

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
        """No user may delete rows, except those that go with the row of another table."""
        return bool(self.deleted_with) and on_pages_of(self.deleted_with, request)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Users with Django's change permission may run actions. Checked for actions with `permissions=["act"]`."""
        return super().has_change_permission(request)
