"""Django's log of changes, by everybody: in the admin, and through the API by accounts and their keys."""

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.utils.html import format_html

from forecasting.admin.read_only import ReadOnlyAdmin


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """Who changed what, the newest first."""

    deleted_with = "auth_user"  # Django asks for that; in fact its lines pass to another account, see accounts.py
    list_display = ("action_time", "user", "content_type", "row", "told")
    list_display_links = None
    list_filter = ("action_time", ("content_type", admin.RelatedOnlyFieldListFilter))
    search_fields = ("object_repr", "change_message", "user__username")
    list_select_related = ("user", "content_type")
    fields = ("action_time", "user", "content_type", "row", "told")

    @admin.display(description="row", ordering="object_repr")
    def row(self, entry: LogEntry) -> str:
        """The changed row, with a link unless it was deleted."""
        address = None if entry.is_deletion() else entry.get_admin_url()
        return format_html('<a href="{}">{}</a>', address, entry.object_repr) if address else entry.object_repr

    @admin.display(description="what")
    def told(self, entry: LogEntry) -> str:
        """The message, or what kind of change it was."""
        return entry.get_change_message() or entry.get_action_flag_display()
