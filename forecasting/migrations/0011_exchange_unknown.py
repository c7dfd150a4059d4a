from django.db import migrations, models

FORGOTTEN = """
    UPDATE forecasting_symbol AS symbol SET exchange = NULL, currency = ''
    WHERE NOT EXISTS (SELECT FROM forecasting_pricebar AS bar WHERE bar.symbol_id = symbol.id)
"""
# What the exchange was is guessed from the ticker by code; this is its word for one that it does not know.
NAMED = "UPDATE forecasting_symbol SET exchange = 'WEEKDAYS' WHERE exchange IS NULL"


class Migration(migrations.Migration):

    dependencies = [
        ('forecasting', '0010_versions_know_restatements'),
    ]

    operations = [
        migrations.AlterField(
            model_name='symbol',
            name='exchange',
            field=models.CharField(blank=True, help_text='Market identifier code, 24/7, 24/5, or the week of a market that is not known; null until bars have come.', max_length=12, null=True),
        ),
        migrations.RunSQL(FORGOTTEN, NAMED),
    ]
