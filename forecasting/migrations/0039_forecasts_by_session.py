from django.db import migrations, models

from forecasting.models.indexes import BuildIndex


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("forecasting", "0038_figures_of_the_home_page")]

    operations = [
        BuildIndex(model_name="forecast", index=models.Index(fields=["target_date"], name="forecast_by_target")),
    ]
