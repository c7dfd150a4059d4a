"""Forecasts of later sessions, and forecasts that know other markets. Webhooks are told of the next session's only."""

import django.utils.timezone
from django.db import migrations, models

NEXT_SESSION_ONLY = """
DROP TRIGGER tell_forecast_scored ON forecasting_score;
DROP TRIGGER tell_forecast_issued ON forecasting_forecast;
CREATE TRIGGER tell_forecast_issued AFTER INSERT ON forecasting_forecast
FOR EACH ROW WHEN (NEW.horizon = 1) EXECUTE FUNCTION forecasting_tell_webhooks('forecast.issued', 'id');
CREATE TRIGGER tell_forecast_scored AFTER INSERT ON forecasting_score
FOR EACH ROW WHEN (NEW.horizon = 1) EXECUTE FUNCTION forecasting_tell_webhooks('forecast.scored', 'forecast_id');
"""
ALL = """
DROP TRIGGER tell_forecast_scored ON forecasting_score;
DROP TRIGGER tell_forecast_issued ON forecasting_forecast;
CREATE TRIGGER tell_forecast_issued AFTER INSERT ON forecasting_forecast
FOR EACH ROW EXECUTE FUNCTION forecasting_tell_webhooks('forecast.issued', 'id');
CREATE TRIGGER tell_forecast_scored AFTER INSERT ON forecasting_score
FOR EACH ROW EXECUTE FUNCTION forecasting_tell_webhooks('forecast.scored', 'forecast_id');
"""


class Migration(migrations.Migration):

    dependencies = [
        ('forecasting', '0024_forecast_simulated'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='forecast',
            options={'default_permissions': ('view',), 'ordering': ['-as_of', 'symbol_id', 'horizon', '-pk']},
        ),
        migrations.RemoveConstraint(
            model_name='forecast',
            name='forecast_one_per_version_and_session',
        ),
        migrations.RemoveIndex(
            model_name='forecast',
            name='forecast_list_order',
        ),
        migrations.RemoveIndex(
            model_name='score',
            name='score_record',
        ),
        migrations.AddField(
            model_name='forecast',
            name='basis',
            field=models.CharField(choices=[('close', 'own bars'), ('lead', 'own bars and leads')], db_default='close', default='close', max_length=5),
        ),
        migrations.AddField(
            model_name='forecast',
            name='horizon',
            field=models.PositiveSmallIntegerField(db_default=1, default=1, help_text='Sessions from `as_of` to `target_date`.'),
        ),
        migrations.AddField(
            model_name='forecast',
            name='known_until',
            field=models.DateTimeField(blank=True, help_text='When the leads were read; empty without leads.', null=True),
        ),
        migrations.AddField(
            model_name='forecast',
            name='leads',
            field=models.JSONField(blank=True, help_text='Symbol, last session and move in percent of each lead.', null=True),
        ),
        migrations.AddField(
            model_name='forecast',
            name='target_opens',
            field=models.DateTimeField(blank=True, help_text='Opening of the target session; empty without leads.', null=True),
        ),
        migrations.AddField(
            model_name='score',
            name='basis',
            field=models.CharField(choices=[('close', 'own bars'), ('lead', 'own bars and leads')], db_default='close', default='close', max_length=5),
        ),
        migrations.AddField(
            model_name='score',
            name='horizon',
            field=models.PositiveSmallIntegerField(db_default=1, default=1),
        ),
        migrations.AlterField(
            model_name='forecast',
            name='issued_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddIndex(
            model_name='forecast',
            index=models.Index(fields=['-as_of', 'symbol', 'horizon', '-id'], name='forecast_list_order'),
        ),
        migrations.AddIndex(
            model_name='score',
            index=models.Index(condition=models.Q(('latest', True)), fields=['symbol', 'horizon', 'basis', 'version'], include=('absolute_error', 'naive_absolute_error', 'inside_interval'), name='score_record'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.UniqueConstraint(fields=('symbol', 'version', 'as_of', 'horizon', 'basis'), name='forecast_one_per_version_and_session'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(('horizon__gte', 1)), name='forecast_horizon_positive'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('basis', 'close'), ('known_until__isnull', True), ('leads__isnull', True), ('target_opens__isnull', True)), models.Q(('basis', 'lead'), ('horizon', 1), ('known_until__isnull', False), ('leads__isnull', False), ('target_opens__isnull', False), ('issued_at__lt', models.F('target_opens')), ('known_until__lte', models.F('issued_at'))), _connector='OR'), name='forecast_knows_the_past_only'),
        ),
        migrations.RunSQL(NEXT_SESSION_ONLY, ALL),
    ]
