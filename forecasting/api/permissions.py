"""Permissions of staff routes: the same as in the admin."""

from rest_framework.permissions import DjangoModelPermissions


class MayManage(DjangoModelPermissions):
    """Requires Django's view, add and delete permissions for the view's model."""

    perms_map = DjangoModelPermissions.perms_map | {"GET": ["%(app_label)s.view_%(model_name)s"]}


class MayChange(DjangoModelPermissions):
    """Requires Django's change permission for the view's model; its POST routes add no row."""

    perms_map = DjangoModelPermissions.perms_map | {"POST": ["%(app_label)s.change_%(model_name)s"]}
