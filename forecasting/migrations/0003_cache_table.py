"""The table of Django's database cache, in which the task clusters tell every process how they are."""

from django.core.management import call_command
from django.db import migrations


def create(apps, schema_editor):
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0002_ledger_is_append_only")]
    operations = [
        migrations.RunPython(create, migrations.RunPython.noop),
        migrations.RunSQL(migrations.RunSQL.noop, 'DROP TABLE IF EXISTS "cache"'),
    ]
