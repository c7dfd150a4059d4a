"""Scores become rows of their own: a forecast never changes at all, and a corrected score follows the earlier one.

Backwards, only the latest score of each forecast is kept.
"""

from importlib import import_module

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

scored_once = import_module("forecasting.migrations.0002_ledger_is_append_only")

MOVE = """
    INSERT INTO forecasting_score (
        forecast_id, symbol_id, version_id, actual_date, actual_close, absolute_error, naive_absolute_error, inside_interval,
        reason, scored_at, latest
    )
    SELECT
        id, symbol_id, version_id, target_date, actual_close, absolute_error, naive_absolute_error, inside_interval,
        'first', scored_at, TRUE
    FROM forecasting_forecast WHERE scored_at IS NOT NULL ORDER BY scored_at, id
"""
MOVE_BACK = """
    UPDATE forecasting_forecast AS forecast
    SET actual_close = score.actual_close,
        absolute_error = score.absolute_error,
        naive_absolute_error = score.naive_absolute_error,
        inside_interval = score.inside_interval,
        scored_at = score.scored_at
    FROM forecasting_score AS score WHERE score.forecast_id = forecast.id AND score.latest
"""
KNOWN = """
    UPDATE forecasting_forecast AS forecast SET restatement_id = known.id
    FROM (
        SELECT issued.id AS forecast_id, max(before.id) AS id
        FROM forecasting_restatement AS before
        JOIN forecasting_forecast AS issued ON issued.symbol_id = before.symbol_id AND before.restated_at <= issued.issued_at
        GROUP BY issued.id
    ) AS known
    WHERE forecast.id = known.forecast_id
"""
APPEND_ONLY = """
CREATE FUNCTION forecasting_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = format(TG_ARGV[0], OLD.id), ERRCODE = 'check_violation';
END
$$;
CREATE TRIGGER forecast_never_changes BEFORE UPDATE ON forecasting_forecast
FOR EACH ROW EXECUTE FUNCTION forecasting_refuse_change('forecast %s was served and cannot be changed');
CREATE TRIGGER score_never_changes BEFORE UPDATE ON forecasting_score
FOR EACH ROW WHEN (NEW.latest OR NOT OLD.latest OR to_jsonb(OLD.*) - 'latest' <> to_jsonb(NEW.*) - 'latest')
EXECUTE FUNCTION forecasting_refuse_change('score %s cannot be changed, only followed by another one');
CREATE TRIGGER score_never_goes BEFORE DELETE ON forecasting_score
FOR EACH ROW EXECUTE FUNCTION forecasting_refuse_change('score %s cannot be deleted');
"""
CHANGEABLE = """
DROP TRIGGER score_never_goes ON forecasting_score;
DROP TRIGGER score_never_changes ON forecasting_score;
DROP TRIGGER forecast_never_changes ON forecasting_forecast;
DROP FUNCTION forecasting_refuse_change();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('forecasting', '0011_exchange_unknown'),
    ]

    operations = [
        migrations.CreateModel(
            name='Score',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('actual_date', models.DateField(help_text='The session that it is scored against: a later one if its own did not take place.')),
                ('actual_close', models.FloatField(help_text='In the prices of the forecast: a later split or dividend is taken out.')),
                ('absolute_error', models.FloatField()),
                ('naive_absolute_error', models.FloatField(help_text='Of the last close.')),
                ('inside_interval', models.BooleanField()),
                ('reason', models.CharField(choices=[('first', 'first'), ('session_moved', 'session moved'), ('corrected', 'corrected')], max_length=16)),
                ('scored_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('latest', models.BooleanField(default=True, help_text='Whether it counts; a later one takes its place.')),
                ('forecast', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='scores', to='forecasting.forecast')),
                ('symbol', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='forecasting.symbol')),
                ('version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='forecasting.modelversion')),
            ],
            options={
                'ordering': ['-pk'],
                'indexes': [models.Index(condition=models.Q(('latest', True)), fields=['symbol', 'version'], include=('absolute_error', 'naive_absolute_error', 'inside_interval'), name='score_record')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('latest', True)), fields=('forecast',), name='score_one_latest'), models.CheckConstraint(condition=models.Q(('reason__in', ['first', 'session_moved', 'corrected'])), name='score_reason_known'), models.CheckConstraint(condition=models.Q(('actual_close__gt', 0), ('actual_close__lt', float("inf"))), name='score_close_positive'), models.CheckConstraint(condition=models.Q(('absolute_error__gte', 0), ('absolute_error__lt', float("inf")), ('naive_absolute_error__gte', 0), ('naive_absolute_error__lt', float("inf"))), name='score_errors_not_negative')],
            },
        ),
        migrations.RunSQL(scored_once.BACKWARDS, scored_once.FORWARDS),
        migrations.RunSQL(MOVE, MOVE_BACK),
        migrations.RemoveConstraint(model_name='forecast', name='forecast_scored_whole'),
        migrations.RemoveIndex(model_name='forecast', name='forecast_due'),
        migrations.RemoveField(model_name='forecast', name='absolute_error'),
        migrations.RemoveField(model_name='forecast', name='actual_close'),
        migrations.RemoveField(model_name='forecast', name='inside_interval'),
        migrations.RemoveField(model_name='forecast', name='naive_absolute_error'),
        migrations.RemoveField(model_name='forecast', name='scored_at'),
        migrations.AddField(
            model_name='forecast',
            name='restatement',
            field=models.ForeignKey(blank=True, help_text='The last one of its bars when they were read.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='forecasting.restatement'),
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='forecast',
            index=models.Index(fields=['symbol', 'target_date'], name='forecast_of_session'),
        ),
        migrations.RunSQL(APPEND_ONLY, CHANGEABLE),
    ]
