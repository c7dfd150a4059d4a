"""`manage.py migrate`: Django's, one at a time."""

from typing import Any

from django.apps import apps
from django.core.management.commands import migrate
from django.db import connection
from psycopg import sql

from forecasting.models.locks import Lock, lock_when_free


class Command(migrate.Command):
    """Machines and containers that start together may all call it: the first one migrates, the others wait and find it done."""

    def handle(self, *args: Any, **options: Any) -> None:
        """As Django's. Waits while another process migrates, or makes or restores a backup."""
        if options["check_unapplied"] or options["plan"]:  # these change nothing
            super().handle(*args, **options)
            return
        with lock_when_free(Lock.MIGRATIONS, waiting=self._say_why):
            _drop_unfinished_indexes()
            super().handle(*args, **options)

    def _say_why(self) -> None:
        self.stdout.write("Waiting for another migration, or for a backup ...")
        self.stdout.flush()


def _drop_unfinished_indexes() -> None:
    """Drops what an interrupted AddIndexConcurrently has left: nobody can use it, and its name would be taken."""
    ours = [index.name for model in apps.get_models() for index in model._meta.indexes]
    query = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid AND relname = ANY(%s)"
    with connection.cursor() as cursor:
        cursor.execute(query, [ours])
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(name)))
