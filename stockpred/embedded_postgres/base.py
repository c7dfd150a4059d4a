"""The Django database engine `stockpred.embedded_postgres`, which starts Postgres at the first connection.

Its entry in DATABASES is `server.django_database()`. The setting EMBEDDED_POSTGRES must be the same server.
"""

from collections.abc import Iterable
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import client

from stockpred.embedded_postgres.binaries import installed_programs
from stockpred.embedded_postgres.server import EmbeddedPostgres
from stockpred.postgres import base


def configured_server() -> EmbeddedPostgres:
    """The server in the setting EMBEDDED_POSTGRES. Raises ImproperlyConfigured if it is missing."""
    server = getattr(settings, "EMBEDDED_POSTGRES", None)
    if not isinstance(server, EmbeddedPostgres):
        raise ImproperlyConfigured("The engine stockpred.embedded_postgres needs the setting EMBEDDED_POSTGRES.")
    return server


class DatabaseClient(client.DatabaseClient):
    """`manage.py dbshell` with the psql of the same package."""

    def runshell(self, parameters: Iterable[str]) -> None:
        """Start the server if necessary, because psql connects on its own."""
        configured_server().ensure()
        super().runshell(parameters)

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Use the full path of psql, because it is rarely on PATH."""
        (_, *arguments), env = super().settings_to_cmd_args_env(settings_dict, parameters)
        return [str(installed_programs() / cls.executable_name), *arguments], env


class DatabaseWrapper(base.DatabaseWrapper):
    """A Postgres connection that starts its server if necessary."""

    client_class = DatabaseClient

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; if that fails, start the server and connect again. Raises the second error."""
        try:
            return super().get_new_connection(conn_params)
        except psycopg.OperationalError:
            configured_server().ensure()
            return super().get_new_connection(conn_params)
