from django.db import migrations

KNOWN = """
    UPDATE forecasting_modelversion AS version SET restatement_id = (
        SELECT max(id) FROM forecasting_restatement AS known
        WHERE known.symbol_id = version.symbol_id AND known.restated_at <= version.trained_at
    )
"""


class Migration(migrations.Migration):

    dependencies = [
        ('forecasting', '0009_version_restatement'),
    ]

    operations = [
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
    ]
