"""Permissions of staff routes: the same as in the admin."""

from rest_framework.permissions import DjangoModelPermissions


class MayChange(DjangoModelPermissions):
    """Requires Django's change permission for the view's model; no POST route here adds a row."""

    perms_map = DjangoModelPermissions.perms_map | {"POST": ["%(app_label)s.change_%(model_name)s"]}
