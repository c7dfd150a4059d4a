from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # the index is built while others write

    dependencies = [("forecasting", "0038_figures_of_the_home_page")]

    operations = [
        AddIndexConcurrently(model_name="forecast", index=models.Index(fields=["target_date"], name="forecast_by_target")),
    ]
