"""Replaces Django's admin app in the installed apps. Its site is in a file of its own, because it needs the tables."""

from django.contrib.admin.apps import AdminConfig


class StockpredAdminConfig(AdminConfig):
    """Django's admin with our site."""

    default_site = "stockpred.site.StockpredAdminSite"
