from django.db import migrations, models

from forecasting.models.indexes import BuildIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("forecasting", "0042_alerts")]

    operations = [
        BuildIndex(
            model_name="score",
            index=models.Index(
                condition=models.Q(("latest", True)),
                fields=["horizon", "basis", "actual_date"],
                include=("symbol", "inside_interval"),
                name="score_days",
            ),
        ),
    ]
