"""Permissions: a key for open routes, if the settings require it; on staff routes, the same as in the admin."""

from django.conf import settings
from rest_framework.permissions import BasePermission, DjangoModelPermissions, IsAdminUser
from rest_framework.request import Request
from rest_framework.views import APIView

from forecasting.models import Key


class KeyIfRequired(BasePermission):
    """With API_KEY_REQUIRED, requires a key, or another credential that the route accepts."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether the client may use the route at all."""
        return not settings.API_KEY_REQUIRED or request.successful_authenticator is not None


class MayManageWebhooks(DjangoModelPermissions):
    """Requires staff with Django's view, add and delete permissions, or a key with the scope `train`."""

    perms_map = DjangoModelPermissions.perms_map | {"GET": ["%(app_label)s.view_%(model_name)s"]}

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this caller may use the route."""
        if isinstance(request.auth, Key) and request.auth.may_train and not request.auth.user:
            return True
        return bool(getattr(request.user, "is_staff", False)) and super().has_permission(request, view)


class MayChange(DjangoModelPermissions):
    """Requires Django's change permission for the view's model; its POST routes add no row."""

    perms_map = DjangoModelPermissions.perms_map | {"POST": ["%(app_label)s.change_%(model_name)s"]}


class MayReadDocumentation(IsAdminUser):
    """Swagger UI and the OpenAPI document are open, unless DOCS_FOR_STAFF_ONLY is set."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this caller may read them."""
        return not settings.DOCS_FOR_STAFF_ONLY or super().has_permission(request, view)
