"""Webhooks and their deliveries. Triggers create the deliveries, because scores and other rows are also written by plain SQL."""

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import forecasting.models.webhooks
from django.db import migrations, models

TRIGGERS = """
CREATE FUNCTION forecasting_tell_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO forecasting_delivery (webhook_id, event, object_id)
    SELECT id, TG_ARGV[0], (to_jsonb(NEW) ->> TG_ARGV[1])::bigint
    FROM forecasting_webhook WHERE active AND TG_ARGV[0] = ANY (events);
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_training_ended AFTER UPDATE OF state ON forecasting_training
FOR EACH ROW WHEN (NEW.state IN ('succeeded', 'failed', 'cancelled') AND OLD.state <> NEW.state)
EXECUTE FUNCTION forecasting_tell_webhooks('training.ended', 'id');
CREATE TRIGGER tell_version_created AFTER INSERT ON forecasting_modelversion
FOR EACH ROW WHEN (NEW.state = 'active')
EXECUTE FUNCTION forecasting_tell_webhooks('version.activated', 'id');
CREATE TRIGGER tell_version_activated AFTER UPDATE OF state ON forecasting_modelversion
FOR EACH ROW WHEN (NEW.state = 'active' AND OLD.state <> NEW.state)
EXECUTE FUNCTION forecasting_tell_webhooks('version.activated', 'id');
CREATE TRIGGER tell_forecast_issued AFTER INSERT ON forecasting_forecast
FOR EACH ROW EXECUTE FUNCTION forecasting_tell_webhooks('forecast.issued', 'id');
CREATE TRIGGER tell_forecast_scored AFTER INSERT ON forecasting_score
FOR EACH ROW EXECUTE FUNCTION forecasting_tell_webhooks('forecast.scored', 'forecast_id');
"""
NO_TRIGGERS = """
DROP TRIGGER tell_forecast_scored ON forecasting_score;
DROP TRIGGER tell_forecast_issued ON forecasting_forecast;
DROP TRIGGER tell_version_activated ON forecasting_modelversion;
DROP TRIGGER tell_version_created ON forecasting_modelversion;
DROP TRIGGER tell_training_ended ON forecasting_training;
DROP FUNCTION forecasting_tell_webhooks;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('forecasting', '0021_permissions'),
    ]

    operations = [
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('url', models.URLField(max_length=500, validators=[django.core.validators.URLValidator(['http', 'https'])])),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('training.ended', 'a training has ended'), ('version.activated', 'a version serves'), ('forecast.issued', 'a forecast was issued'), ('forecast.scored', 'a forecast was scored')], max_length=20), size=None)),
                ('secret', models.CharField(default=forecasting.models.webhooks.new_secret, editable=False, max_length=80)),
                ('active', models.BooleanField(default=True, help_text='Inactive webhooks are told of nothing.')),
                ('failures', models.PositiveIntegerField(default=0, editable=False, help_text='In a row; pauses between attempts grow.')),
                ('created_by', models.CharField(blank=True, editable=False, max_length=150)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
            options={
                'ordering': ['-pk'],
                'constraints': [models.CheckConstraint(condition=models.Q(('events__contained_by', ['training.ended', 'version.activated', 'forecast.issued', 'forecast.scored']), models.Q(('events', []), _negated=True)), name='webhook_events_known')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(choices=[('training.ended', 'a training has ended'), ('version.activated', 'a version serves'), ('forecast.issued', 'a forecast was issued'), ('forecast.scored', 'a forecast was scored')], max_length=20)),
                ('object_id', models.BigIntegerField(help_text='Primary key of the training, version or forecast.')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('delivered', 'Delivered'), ('failed', 'Failed')], db_default='waiting', default='waiting', max_length=10)),
                ('attempts', models.PositiveSmallIntegerField(db_default=0, default=0)),
                ('not_before', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text='The earliest time of the next attempt.')),
                ('status_code', models.PositiveSmallIntegerField(blank=True, help_text='Of the last answer.', null=True)),
                ('error', models.TextField(blank=True, db_default='', help_text='Why the last attempt failed.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('webhook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='forecasting.webhook')),
            ],
            options={
                'default_permissions': ('view',),
                'verbose_name_plural': 'deliveries',
                'ordering': ['-pk'],
                'indexes': [models.Index(models.F('not_before'), condition=models.Q(('state', 'waiting')), name='delivery_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'delivered', 'failed'])), name='delivery_state_known')],
            },
        ),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
    ]
