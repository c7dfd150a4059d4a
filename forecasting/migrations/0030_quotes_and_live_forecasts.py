"""Forecasts during the session, with the quotes that they know. Webhooks are told of those before it only."""

import datetime
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

BEFORE_THE_SESSION_ONLY = """
DROP TRIGGER tell_forecast_scored ON forecasting_score;
DROP TRIGGER tell_forecast_issued ON forecasting_forecast;
CREATE TRIGGER tell_forecast_issued AFTER INSERT ON forecasting_forecast
FOR EACH ROW WHEN (NEW.horizon = 1 AND NEW.quarter IS NULL) EXECUTE FUNCTION forecasting_tell_webhooks('forecast.issued', 'id');
CREATE TRIGGER tell_forecast_scored AFTER INSERT ON forecasting_score
FOR EACH ROW WHEN (NEW.horizon = 1 AND NEW.part IS NULL) EXECUTE FUNCTION forecasting_tell_webhooks('forecast.scored', 'forecast_id');
"""
OF_THE_NEXT_SESSION = """
DROP TRIGGER tell_forecast_scored ON forecasting_score;
DROP TRIGGER tell_forecast_issued ON forecasting_forecast;
CREATE TRIGGER tell_forecast_issued AFTER INSERT ON forecasting_forecast
FOR EACH ROW WHEN (NEW.horizon = 1) EXECUTE FUNCTION forecasting_tell_webhooks('forecast.issued', 'id');
CREATE TRIGGER tell_forecast_scored AFTER INSERT ON forecasting_score
FOR EACH ROW WHEN (NEW.horizon = 1) EXECUTE FUNCTION forecasting_tell_webhooks('forecast.scored', 'forecast_id');
"""


class Migration(migrations.Migration):

    dependencies = [
        ('forecasting', '0029_instrument'),
    ]

    operations = [
        migrations.CreateModel(
            name='LiveCalibration',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('exchange', models.CharField(max_length=12)),
                ('part', models.PositiveSmallIntegerField(help_text='Part of the session, from 0.')),
                ('factor', models.FloatField(help_text='On the distance of each quantile from the median.')),
                ('through', models.DateField(help_text='The last session that it knows.')),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Quote',
            fields=[
                ('symbol', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='quote', serialize=False, to='forecasting.symbol')),
                ('asked_at', models.DateTimeField(help_text='When the price source was last asked for it.')),
                ('problem', models.TextField(blank=True, help_text='Why the last answer was of no use.')),
                ('session', models.DateField(blank=True, help_text='The session under way at that time; empty without any quote.', null=True)),
                ('time', models.DateTimeField(blank=True, help_text='Of the last trade.', null=True)),
                ('price', models.FloatField(blank=True, null=True)),
                ('open', models.FloatField(blank=True, null=True)),
                ('high', models.FloatField(blank=True, help_text='Of the session until then.', null=True)),
                ('low', models.FloatField(blank=True, help_text='Of the session until then.', null=True)),
                ('volume', models.FloatField(blank=True, help_text='Shares or contracts until then.', null=True)),
            ],
            options={
                'default_permissions': ('view',),
            },
        ),
        migrations.RemoveConstraint(
            model_name='forecast',
            name='forecast_one_per_version_and_session',
        ),
        migrations.RemoveConstraint(
            model_name='forecast',
            name='forecast_knows_the_past_only',
        ),
        migrations.AddField(
            model_name='forecast',
            name='price_now',
            field=models.FloatField(blank=True, help_text='Empty before the target session opens.', null=True),
        ),
        migrations.AddField(
            model_name='forecast',
            name='quarter',
            field=models.DateTimeField(blank=True, help_text='Start of the quarter of an hour of `issued_at`; empty before the target session opens.', null=True),
        ),
        migrations.AddField(
            model_name='forecast',
            name='quote',
            field=models.JSONField(blank=True, help_text='Open, high, low and volume of the target session until `known_until`.', null=True),
        ),
        migrations.AddField(
            model_name='forecast',
            name='session_fraction',
            field=models.FloatField(blank=True, help_text="Share of the target session's trading time until `known_until`.", null=True),
        ),
        migrations.AddField(
            model_name='forecast',
            name='target_closes',
            field=models.DateTimeField(blank=True, help_text='Close of the target session; empty before that opens.', null=True),
        ),
        migrations.AddField(
            model_name='score',
            name='part',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Part of the session in which it was forecast, from 0; empty if that was before it opened.', null=True),
        ),
        migrations.AlterField(
            model_name='forecast',
            name='basis',
            field=models.CharField(choices=[('close', 'own bars'), ('lead', 'own bars and leads'), ('live', 'own bars and price now')], db_default='close', default='close', max_length=5),
        ),
        migrations.AlterField(
            model_name='forecast',
            name='known_until',
            field=models.DateTimeField(blank=True, help_text='When the leads were read, or when the price now was made; empty if it knows own bars only.', null=True),
        ),
        migrations.AlterField(
            model_name='forecast',
            name='target_opens',
            field=models.DateTimeField(blank=True, help_text='Opening of the target session; empty if it knows own bars only.', null=True),
        ),
        migrations.AlterField(
            model_name='score',
            name='basis',
            field=models.CharField(choices=[('close', 'own bars'), ('lead', 'own bars and leads'), ('live', 'own bars and price now')], db_default='close', default='close', max_length=5),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.UniqueConstraint(condition=models.Q(('quarter', None)), fields=('symbol', 'version', 'as_of', 'horizon', 'basis'), name='forecast_one_per_version_and_session'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.UniqueConstraint(condition=models.Q(('quarter__isnull', False)), fields=('symbol', 'version', 'as_of', 'quarter'), name='forecast_one_per_quarter_of_an_hour'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('basis', 'close'), ('known_until', None), ('leads', None), ('price_now', None), ('quarter', None), ('quote', None), ('session_fraction', None), ('target_closes', None), ('target_opens', None)), models.Q(('basis', 'lead'), ('horizon', 1), ('known_until__isnull', False), ('leads__isnull', False), ('target_opens__isnull', False), ('issued_at__lt', models.F('target_opens')), ('known_until__lte', models.F('issued_at')), ('price_now', None), ('quarter', None), ('quote', None), ('session_fraction', None), ('target_closes', None)), models.Q(('basis', 'live'), ('horizon', 1), ('known_until__isnull', False), ('leads', None), ('price_now__isnull', False), ('quarter__isnull', False), ('quote__isnull', False), ('session_fraction__isnull', False), ('target_closes__isnull', False), ('target_opens__isnull', False), ('issued_at__lt', models.F('target_closes')), ('known_until__gte', models.F('target_opens')), ('known_until__lte', models.F('issued_at')), ('issued_at__lt', django.db.models.expressions.CombinedExpression(models.F('quarter'), '+', models.Value(datetime.timedelta(seconds=900)))), ('price_now__gt', 0), ('price_now__lt', float("inf")), ('quarter__lte', models.F('issued_at')), ('session_fraction__gte', 0), ('session_fraction__lte', 1)), _connector='OR'), name='forecast_knows_the_past_only'),
        ),
        migrations.AddConstraint(
            model_name='livecalibration',
            constraint=models.UniqueConstraint(fields=('exchange', 'part'), name='live_calibration_one_per_part'),
        ),
        migrations.AddConstraint(
            model_name='livecalibration',
            constraint=models.CheckConstraint(condition=models.Q(('factor__gt', 0), ('factor__lt', float("inf"))), name='live_calibration_factor_positive'),
        ),
        migrations.AddConstraint(
            model_name='quote',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('high__isnull', True), ('low__isnull', True), ('open__isnull', True), ('price__isnull', True), ('session__isnull', True), ('time__isnull', True), ('volume__isnull', True)), models.Q(('high__isnull', False), ('low__gt', 0), ('low__isnull', False), ('low__lte', models.F('price')), ('open__isnull', False), ('price__isnull', False), ('session__isnull', False), ('time__isnull', False), ('volume__isnull', False), ('high__gte', models.F('price')), ('high__lt', float("inf"))), _connector='OR'), name='quote_complete_and_in_range'),
        ),
        migrations.RunSQL(BEFORE_THE_SESSION_ONLY, OF_THE_NEXT_SESSION),
    ]
