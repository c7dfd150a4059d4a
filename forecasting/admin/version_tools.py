"""The buttons of a version's page: activate, pin and unpin."""

from typing import Any, Protocol

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from forecasting import registry
from forecasting.admin.read_only import ReadOnlyAdmin
from forecasting.callers.caller import caller_of
from forecasting.models import ModelVersion
from forecasting.models.versions import FilesState
from forecasting.pipeline.serving.verified import ArtifactError


class Change(Protocol):
    """Changes which version serves."""

    def __call__(self, version: ModelVersion, *, by: str) -> None:
        """Raises ArtifactError if the version's files cannot be used."""


class VersionTools(ReadOnlyAdmin):
    """The addresses of the buttons."""

    def get_urls(self) -> list[URLPattern]:
        """The standard pages, and the targets of the buttons."""
        buttons = {"activate": self.activate, "pin": self.pin, "unpin": self.unpin}
        targets = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(require_POST(view)), name=f"forecasting_modelversion_{name}")
            for name, view in buttons.items()
        ]
        return [*targets, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The details, with the buttons for users with the permission."""
        context = (extra_context or {}) | {"can_activate": self.has_act_permission(request), "kept": FilesState.KEPT}
        return super().change_view(request, object_id, form_url, context)

    def activate(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Activates this version in place of the current one; if that is pinned, its pin is lifted."""
        return self._changed(request, pk, registry.activate, logged="Activated.", told="is now active")

    def pin(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Activates this version, and keeps it active."""
        return self._changed(
            request, pk, registry.pin, logged="Activated and pinned.", told="is active, and stays so until it is unpinned"
        )

    def unpin(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Lets the next training replace this version."""

        def lift(version: ModelVersion, *, by: str) -> None:
            if version.is_pinned and version.symbol:
                registry.unpin(version.symbol, by=by)

        return self._changed(request, pk, lift, logged="Unpinned.", told="may be replaced by the next training")

    def _changed(self, request: HttpRequest, pk: int, change: Change, *, logged: str, told: str) -> HttpResponse:
        """Changes the version, and notes that in its history."""
        if not self.has_act_permission(request):
            raise PermissionDenied
        version = get_object_or_404(ModelVersion.objects.select_related("symbol"), pk=pk)
        try:
            with transaction.atomic():
                change(version, by=str(caller_of(request.user)))
                self.log_change(request, version, logged)
        except ArtifactError as error:
            self.message_user(request, f"{version} was not activated, because its files cannot be used: {error}", messages.ERROR)
        else:
            self.message_user(request, f"{version} {told}.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:forecasting_modelversion_change", args=[pk]))
