"""Every table of 0001 to 0014 in one step, for a new database. A database that applied those has applied this one.

The steps between moved the data of earlier releases; a new database has none. `tests/test_migrations.py` compares the schemas.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
from django.core.management import call_command
from django.db import migrations, models


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


def create_cache_table(apps, schema_editor):
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):

    initial = True

    replaces = [
        ('forecasting', '0001_tables'),
        ('forecasting', '0002_ledger_is_append_only'),
        ('forecasting', '0003_cache_table'),
        ('forecasting', '0004_restatements_and_upstream'),
        ('forecasting', '0005_findings'),
        ('forecasting', '0006_forecast_spread_factor'),
        ('forecasting', '0007_training_claims_and_epochs'),
        ('forecasting', '0008_version_files_and_reason'),
        ('forecasting', '0009_version_restatement'),
        ('forecasting', '0010_versions_know_restatements'),
        ('forecasting', '0011_exchange_unknown'),
        ('forecasting', '0012_scores'),
        ('forecasting', '0013_constants_are_null'),
        ('forecasting', '0014_what_the_gate_leaves_out'),
    ]

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='JobRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('job', models.CharField(max_length=40)),
                ('date', models.DateField()),
                ('state', models.CharField(choices=[('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed')], default='running', max_length=10)),
                ('started_at', models.DateTimeField(auto_now_add=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('report', models.JSONField(default=dict, help_text='What each step did.')),
                ('error', models.TextField(blank=True)),
            ],
            options={
                'ordering': ['-date', 'job'],
                'constraints': [models.UniqueConstraint(fields=('job', 'date'), name='job_one_run_per_date'), models.CheckConstraint(condition=models.Q(('state__in', ['running', 'succeeded', 'failed'])), name='job_state_known')],
            },
        ),
        migrations.CreateModel(
            name='Symbol',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('ticker', models.CharField(max_length=24, unique=True, verbose_name='symbol')),
                ('exchange', models.CharField(blank=True, help_text='Market identifier code, 24/7, 24/5, or the week of a market that is not known; null until bars have come.', max_length=12, null=True)),
                ('currency', models.CharField(blank=True, max_length=8)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('synced_at', models.DateTimeField(blank=True, help_text='When its bars were last brought up to date.', null=True)),
                ('upstream_state', models.CharField(choices=[('never_asked', 'never asked'), ('ok', 'ok'), ('unknown', 'unknown symbol'), ('unavailable', 'unavailable'), ('rate_limited', 'rate limited'), ('bad_data', 'bad data')], default='never_asked', max_length=16)),
                ('upstream_reason', models.TextField(blank=True)),
                ('upstream_checked_at', models.DateTimeField(blank=True, null=True)),
                ('unknown_answers', models.PositiveSmallIntegerField(default=0, help_text='How often in a row the source said that it has none.')),
                ('unknown_until', models.DateTimeField(blank=True, help_text='Until then that answer stands and it is not asked again.', null=True)),
            ],
            options={
                'ordering': ['ticker'],
                'constraints': [models.CheckConstraint(condition=models.Q(('ticker__regex', '^[A-Z0-9^][A-Z0-9.^=&_-]{0,23}$')), name='symbol_ticker_pattern'), models.CheckConstraint(condition=models.Q(('ticker', django.db.models.functions.text.Upper('ticker'))), name='symbol_ticker_upper_case'), models.CheckConstraint(condition=models.Q(('upstream_state__in', ['never_asked', 'ok', 'unknown', 'unavailable', 'rate_limited', 'bad_data'])), name='symbol_upstream_state_known')],
            },
        ),
        migrations.CreateModel(
            name='Restatement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('reason', models.CharField(choices=[('split', 'Split'), ('dividend', 'Dividend'), ('unit', 'Unit'), ('correction', 'Correction')], max_length=12)),
                ('date', models.DateField(help_text='Of a split or dividend: the first session after the bars that it rescaled. Of a correction: its first session.')),
                ('ratio', models.FloatField(blank=True, help_text='New price divided by the old one; empty where a session came or went.', null=True)),
                ('bars_changed', models.PositiveIntegerField(help_text='Of those that were stored.')),
                ('matters', models.BooleanField(db_default=True, default=True, help_text='Whether models that were trained on the bars before are trained again.')),
                ('restated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('symbol', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='restatements', to='forecasting.symbol')),
            ],
            options={
                'ordering': ['-restated_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='PriceBar',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('date', models.DateField()),
                ('open', models.FloatField()),
                ('high', models.FloatField()),
                ('low', models.FloatField()),
                ('close', models.FloatField()),
                ('volume', models.FloatField(help_text='Shares or contracts.')),
                ('symbol', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bars', to='forecasting.symbol')),
            ],
            options={
                'ordering': ['symbol', 'date'],
            },
        ),
        migrations.CreateModel(
            name='ModelVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('candidate', 'Candidate'), ('active', 'Active'), ('retired', 'Retired'), ('rejected', 'Rejected')], default='candidate', max_length=10)),
                ('decision', models.TextField(blank=True, help_text='Why it was promoted or rejected.')),
                ('config', models.JSONField()),
                ('metrics', models.JSONField(help_text="Out of sample, beside the naive forecast's.")),
                ('data_start', models.DateField()),
                ('data_end', models.DateField()),
                ('bar_count', models.PositiveIntegerField()),
                ('folder', models.CharField(help_text='Below MEDIA_ROOT/models.', max_length=100, unique=True)),
                ('files', models.JSONField(help_text='Name to SHA-256 and size in bytes.')),
                ('files_state', models.CharField(choices=[('kept', 'Kept'), ('removed', 'Removed'), ('damaged', 'Damaged')], db_default='kept', default='kept', max_length=10)),
                ('trained_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='children', to='forecasting.modelversion')),
                ('restatement', models.ForeignKey(blank=True, help_text='The last one of its bars when they were read.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='forecasting.restatement')),
                ('symbol', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='forecasting.symbol')),
            ],
            options={
                'ordering': ['-trained_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Forecast',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('as_of', models.DateField(help_text='The last session that the forecast knew.')),
                ('target_date', models.DateField(help_text='The session whose close it forecasts.')),
                ('last_close', models.FloatField()),
                ('price', models.FloatField(help_text='The median.')),
                ('quantiles', models.JSONField(help_text='Level to price.')),
                ('interval_level', models.FloatField()),
                ('interval_low', models.FloatField()),
                ('interval_high', models.FloatField()),
                ('spread_factor', models.FloatField(default=1.0, help_text="Of the online calibration: by how much the version's own quantiles were spread.")),
                ('probability_up', models.FloatField()),
                ('issued_at', models.DateTimeField(auto_now_add=True)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='forecasts', to='forecasting.modelversion')),
                ('restatement', models.ForeignKey(blank=True, help_text='The last one of its bars when they were read.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='forecasting.restatement')),
                ('symbol', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='forecasts', to='forecasting.symbol')),
            ],
            options={
                'ordering': ['-target_date', 'symbol_id', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Finding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('rule', models.CharField(choices=[('shape', 'shape'), ('order', 'order'), ('duplicate', 'duplicate'), ('price', 'price'), ('range', 'range'), ('volume', 'volume'), ('phantom holiday', 'phantom holiday'), ('session', 'session'), ('unit jump', 'unit jump'), ('step', 'step'), ('spike', 'spike'), ('stale run', 'stale run'), ('no trades', 'no trades'), ('gap', 'gap'), ('few bars', 'few bars'), ('old bars', 'old bars')], max_length=16)),
                ('verdict', models.CharField(choices=[('repaired', 'repaired'), ('left out', 'left out'), ('refused', 'refused'), ('noted', 'noted')], max_length=8)),
                ('date', models.DateField(blank=True, help_text='The session; empty where it is about all bars.', null=True)),
                ('value', models.FloatField(blank=True, help_text='What was found there: a price, a volume, a share or a number of bars.', null=True)),
                ('text', models.TextField()),
                ('found_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('symbol', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='findings', to='forecasting.symbol')),
            ],
            options={
                'ordering': ['-found_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Training',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=12)),
                ('reason', models.CharField(choices=[('requested', 'asked by a person'), ('never_trained', 'never trained'), ('files_damaged', 'model files missing or damaged'), ('performance_lost', 'performance lost'), ('data_revised', 'data revised'), ('too_old', 'too old')], max_length=20)),
                ('priority', models.SmallIntegerField()),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('fence', models.PositiveIntegerField(default=0, help_text='Raised at every claim; a trainer with an older one is refused.')),
                ('lease_expires_at', models.DateTimeField(blank=True, null=True)),
                ('claimed_by', models.CharField(blank=True, help_text='The task cluster, or the terminal, that works on it.', max_length=100)),
                ('not_before', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='No trainer takes it earlier.')),
                ('stage', models.CharField(blank=True, max_length=20)),
                ('progress', models.FloatField(default=0.0, help_text='Fraction done, 0 to 1.')),
                ('epoch', models.PositiveSmallIntegerField(blank=True, help_text='Within the stage; empty where it has none.', null=True)),
                ('epochs', models.PositiveSmallIntegerField(blank=True, help_text='At most, within the stage.', null=True)),
                ('error', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('symbol', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='trainings', to='forecasting.symbol')),
            ],
            options={
                'ordering': ['-created_at', '-pk'],
            },
        ),
        migrations.AddField(
            model_name='modelversion',
            name='training',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='version', to='forecasting.training'),
        ),
        migrations.CreateModel(
            name='Upstream',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(help_text='As PRICE_SOURCE names it.', max_length=20, unique=True)),
                ('state', models.CharField(choices=[('closed', 'asked'), ('open', 'left alone'), ('half_open', 'tried with one request')], default='closed', max_length=10)),
                ('reason', models.TextField(blank=True, help_text='Why it was last left alone, or why the last request failed.')),
                ('failures', models.PositiveIntegerField(default=0, help_text='Failed requests in a row.')),
                ('opens', models.PositiveIntegerField(default=0, help_text='How often in a row it was left alone, without a success between.')),
                ('opened_at', models.DateTimeField(blank=True, help_text='Since when it is left alone.', null=True)),
                ('open_until', models.DateTimeField(blank=True, help_text='Nothing is asked before.', null=True)),
                ('last_success_at', models.DateTimeField(blank=True, help_text='When it last answered.', null=True)),
                ('next_request_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='The pace allows no request before.')),
                ('leases', django.contrib.postgres.fields.ArrayField(base_field=models.DateTimeField(), blank=True, default=list, help_text='Requests under way: when each is given up.', size=None)),
            ],
            options={
                'verbose_name': 'price source',
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['closed', 'open', 'half_open'])), name='upstream_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('open_until__isnull', True), ('opened_at__isnull', True), ('state', 'closed')), models.Q(models.Q(('state', 'closed'), _negated=True), ('open_until__isnull', False), ('opened_at__isnull', False)), _connector='OR'), name='upstream_open_has_an_end')],
            },
        ),
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
                ('version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='forecasting.modelversion')),
                ('symbol', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='forecasting.symbol')),
            ],
            options={
                'ordering': ['-pk'],
                'indexes': [models.Index(condition=models.Q(('latest', True)), fields=['symbol', 'version'], include=('absolute_error', 'naive_absolute_error', 'inside_interval'), name='score_record')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('latest', True)), fields=('forecast',), name='score_one_latest'), models.CheckConstraint(condition=models.Q(('reason__in', ['first', 'session_moved', 'corrected'])), name='score_reason_known'), models.CheckConstraint(condition=models.Q(('actual_close__gt', 0), ('actual_close__lt', float("inf"))), name='score_close_positive'), models.CheckConstraint(condition=models.Q(('absolute_error__gte', 0), ('absolute_error__lt', float("inf")), ('naive_absolute_error__gte', 0), ('naive_absolute_error__lt', float("inf"))), name='score_errors_not_negative')],
            },
        ),
        migrations.AddIndex(
            model_name='restatement',
            index=models.Index(fields=['symbol', '-restated_at'], name='restatement_newest'),
        ),
        migrations.AddConstraint(
            model_name='restatement',
            constraint=models.CheckConstraint(condition=models.Q(('reason__in', ['split', 'dividend', 'unit', 'correction'])), name='restatement_reason_known'),
        ),
        migrations.AddConstraint(
            model_name='restatement',
            constraint=models.CheckConstraint(condition=models.Q(('ratio__isnull', True), ('ratio__gt', 0), _connector='OR'), name='restatement_ratio_positive'),
        ),
        migrations.AddConstraint(
            model_name='pricebar',
            constraint=models.UniqueConstraint(fields=('symbol', 'date'), name='bar_one_per_session'),
        ),
        migrations.AddConstraint(
            model_name='pricebar',
            constraint=models.CheckConstraint(condition=models.Q(('low__gt', 0), ('open__gt', 0), ('close__gt', 0), ('high__lt', float("inf"))), name='bar_prices_positive'),
        ),
        migrations.AddConstraint(
            model_name='pricebar',
            constraint=models.CheckConstraint(condition=models.Q(('high__gte', models.F('open')), ('high__gte', models.F('close'))), name='bar_high_is_highest'),
        ),
        migrations.AddConstraint(
            model_name='pricebar',
            constraint=models.CheckConstraint(condition=models.Q(('low__lte', models.F('open')), ('low__lte', models.F('close'))), name='bar_low_is_lowest'),
        ),
        migrations.AddConstraint(
            model_name='pricebar',
            constraint=models.CheckConstraint(condition=models.Q(('volume__gte', 0), ('volume__lt', float("inf"))), name='bar_volume_not_negative'),
        ),
        migrations.AddIndex(
            model_name='forecast',
            index=models.Index(fields=['symbol', '-as_of'], name='forecast_newest'),
        ),
        migrations.AddIndex(
            model_name='forecast',
            index=models.Index(fields=['-target_date', 'symbol', '-id'], name='forecast_list_order'),
        ),
        migrations.AddIndex(
            model_name='forecast',
            index=models.Index(fields=['symbol', 'target_date'], name='forecast_of_session'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.UniqueConstraint(fields=('symbol', 'version', 'as_of'), name='forecast_one_per_version_and_session'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(('target_date__gt', models.F('as_of'))), name='forecast_target_is_later'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(('last_close__gt', 0), ('last_close__lt', float("inf")), ('price__gt', 0), ('price__lt', float("inf"))), name='forecast_prices_positive'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(('interval_high__lt', float("inf")), ('interval_low__gt', 0), ('interval_low__lte', models.F('interval_high'))), name='forecast_interval_ordered'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(('interval_level__gt', 0), ('interval_level__lt', 1)), name='forecast_level_is_a_fraction'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(('spread_factor__gt', 0), ('spread_factor__lt', float("inf"))), name='forecast_factor_positive'),
        ),
        migrations.AddConstraint(
            model_name='forecast',
            constraint=models.CheckConstraint(condition=models.Q(('probability_up__gte', 0), ('probability_up__lte', 1)), name='forecast_probability_is_a_fraction'),
        ),
        migrations.AddIndex(
            model_name='finding',
            index=models.Index(fields=['-found_at', '-id'], name='finding_list_order'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.UniqueConstraint(fields=('symbol', 'rule', 'verdict', 'date'), name='finding_one_per_rule_and_session', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(('rule__in', ['shape', 'order', 'duplicate', 'price', 'range', 'volume', 'phantom holiday', 'session', 'unit jump', 'step', 'spike', 'stale run', 'no trades', 'gap', 'few bars', 'old bars'])), name='finding_rule_known'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(('verdict__in', ['repaired', 'left out', 'refused', 'noted'])), name='finding_verdict_known'),
        ),
        migrations.AddIndex(
            model_name='training',
            index=models.Index(models.OrderBy(models.F('priority'), descending=True), models.F('created_at'), condition=models.Q(('state', 'queued')), name='training_claim_order'),
        ),
        migrations.AddIndex(
            model_name='training',
            index=models.Index(models.F('symbol'), models.OrderBy(models.F('created_at'), descending=True), name='training_newest'),
        ),
        migrations.AddIndex(
            model_name='training',
            index=models.Index(models.F('lease_expires_at'), condition=models.Q(('state', 'running')), name='training_lease'),
        ),
        migrations.AddIndex(
            model_name='training',
            index=models.Index(models.OrderBy(models.F('finished_at'), descending=True), condition=models.Q(('attempts', 1), ('state', 'succeeded')), name='training_durations'),
        ),
        migrations.AddConstraint(
            model_name='training',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ('queued', 'running'))), fields=('symbol',), name='training_one_active_per_symbol', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='training',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['queued', 'running', 'succeeded', 'failed', 'cancelled'])), name='training_state_known'),
        ),
        migrations.AddConstraint(
            model_name='training',
            constraint=models.CheckConstraint(condition=models.Q(('reason__in', ['requested', 'never_trained', 'files_damaged', 'performance_lost', 'data_revised', 'too_old'])), name='training_reason_known'),
        ),
        migrations.AddConstraint(
            model_name='training',
            constraint=models.CheckConstraint(condition=models.Q(('progress__gte', 0), ('progress__lte', 1)), name='training_progress_is_a_fraction'),
        ),
        migrations.AddConstraint(
            model_name='training',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'running'), _negated=True), ('lease_expires_at__isnull', False), _connector='OR'), name='training_running_has_lease'),
        ),
        migrations.AddConstraint(
            model_name='training',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ('queued', 'running')), ('finished_at__isnull', False), _connector='OR'), name='training_ended_has_time'),
        ),
        migrations.AddConstraint(
            model_name='training',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'failed'), _negated=True), models.Q(('error', ''), _negated=True), _connector='OR'), name='training_failed_says_why'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.UniqueConstraint(fields=('symbol', 'number'), name='version_number_unique', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'active')), fields=('symbol',), name='version_one_active_per_symbol', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['candidate', 'active', 'retired', 'rejected'])), name='version_state_known'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(('files_state__in', ['kept', 'removed', 'damaged'])), name='version_files_state_known'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'active'), _negated=True), ('files_state', 'kept'), _connector='OR'), name='version_active_has_files'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='version_number_positive'),
        ),
        migrations.AddConstraint(
            model_name='modelversion',
            constraint=models.CheckConstraint(condition=models.Q(('data_end__gte', models.F('data_start'))), name='version_data_window_ordered'),
        ),
        migrations.RunSQL(APPEND_ONLY, CHANGEABLE),
        migrations.RunPython(create_cache_table, migrations.RunPython.noop),
        migrations.RunSQL(migrations.RunSQL.noop, 'DROP TABLE IF EXISTS "cache"'),
    ]
