from django.db import migrations

# Of versions whose point forecast is the last close; exactly 1 is then the error over the naive forecast's.
CONSTANTS = """
    UPDATE forecasting_modelversion
    SET metrics = metrics || '{"beats_naive_p": %s, "directional_accuracy": %s}'::jsonb
    WHERE (metrics ->> 'mase')::float = 1
"""
# The base that ships with the service was trained then, whenever it was installed.
TRAINED = """
    UPDATE forecasting_modelversion SET trained_at = '2026-11-25T03:11:00Z'
    WHERE symbol_id IS NULL AND decision LIKE 'Ships with the service: %' AND data_end = '2024-12-31'
"""


class Migration(migrations.Migration):

    dependencies = [
        ('forecasting', '0012_scores'),
    ]

    operations = [
        migrations.RunSQL(CONSTANTS % ("null", "null"), CONSTANTS % ("0.5", "0.5")),
        migrations.RunSQL(TRAINED, migrations.RunSQL.noop),
    ]
