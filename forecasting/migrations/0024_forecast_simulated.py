"""Each forecast says whether its prices were simulated. Of earlier ones it is not known."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0023_findings_without_blanks")]

    operations = [
        migrations.AddField(
            "forecast",
            "simulated",
            models.BooleanField(
                null=True, blank=True, help_text="Whether the prices were simulated; empty for forecasts of earlier releases."
            ),
        ),
    ]
