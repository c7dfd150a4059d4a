"""API keys: made and revoked here. The library's own table of keys is not used, and not shown."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import ForeignKey, Model
from django.forms import ModelChoiceField, ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString
from rest_framework_api_key.models import APIKey

from forecasting.admin import display
from forecasting.admin.display import Tone
from forecasting.admin.export import Exported
from forecasting.admin.read_only import on_pages_of
from forecasting.models import Key

SHOWN_ONCE = "The key of {name} is {text} Store it now: it is not shown again."

admin.site.unregister(APIKey)  # the library's admin, which Django loads before this one


@admin.register(Key)
class KeyAdmin(Exported):
    """Keys of programs."""

    class Media:
        css = {"all": ("forecasting/admin.css",)}

    list_display = ("name", "prefix", "scope", "user", "created", "last_used_at", "expiry_date", "state")
    list_filter = ("scope", "revoked", "created")
    list_select_related = ("user",)
    search_fields = ("name", "prefix")
    fields = ("name", "scope", "user", "expiry_date", "revoked", "prefix", "created", "last_used_at")

    @admin.display(description="state", ordering="revoked")
    def state(self, key: Key) -> SafeString:
        """Whether the key opens anything."""
        if key.revoked:
            return display.badge("revoked", Tone.QUIET)
        return display.badge("expired", Tone.WARNING) if key.has_expired else display.badge("valid", Tone.GOOD)

    def get_readonly_fields(self, request: HttpRequest, obj: Key | None = None) -> tuple[str, ...]:
        """What a key may do and is called never changes, and a revoked key stays revoked."""
        always = ("prefix", "created", "last_used_at")
        if obj is None:
            return ("revoked", *always)
        return ("name", "scope", "user", *(("expiry_date", "revoked") if obj.revoked else ()), *always)

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **options: Any
    ) -> "ModelChoiceField[Any] | None":
        """Only superusers make keys for other accounts: a key has all permissions of its account."""
        field = super().formfield_for_foreignkey(db_field, request, **options)
        if field and field.queryset is not None and not request.user.is_superuser:
            field.queryset = field.queryset.filter(pk=request.user.pk)
        return field

    def save_model(self, request: HttpRequest, obj: Key, form: "ModelForm[Key]", change: bool) -> None:
        """Shows a new key, this once."""
        if not change:
            text = Key.objects.assign_key(obj)
            self.message_user(request, SHOWN_ONCE.format(name=obj.name, text=text), messages.WARNING)
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No user may delete keys, except with their account: a revoked one says who asked for its trainings."""
        return on_pages_of("auth_user", request)
