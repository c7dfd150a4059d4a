from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0038_figures_of_the_home_page")]

    operations = [
        migrations.AddIndex(model_name="forecast", index=models.Index(fields=["target_date"], name="forecast_by_target")),
    ]
