"""What a member of staff must be allowed, to change something through the API: the same as in the admin."""

from rest_framework.permissions import DjangoModelPermissions


class MayChange(DjangoModelPermissions):
    """Who holds Django's permission to change the model that the view serves; no route here adds a row by POST."""

    perms_map = DjangoModelPermissions.perms_map | {"POST": ["%(app_label)s.change_%(model_name)s"]}
