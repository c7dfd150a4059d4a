"""A served forecast never changes: the database itself refuses every update but the one that scores it."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION forecasting_refuse_changed_forecast() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    score text[] := ARRAY['actual_close', 'absolute_error', 'naive_absolute_error', 'inside_interval', 'scored_at'];
BEGIN
    IF OLD.scored_at IS NOT NULL OR to_jsonb(OLD) - score IS DISTINCT FROM to_jsonb(NEW) - score THEN
        RAISE EXCEPTION 'forecast % was served and cannot be changed, only scored once', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER forecast_never_changes BEFORE UPDATE ON forecasting_forecast
FOR EACH ROW EXECUTE FUNCTION forecasting_refuse_changed_forecast();
"""

BACKWARDS = """
DROP TRIGGER forecast_never_changes ON forecasting_forecast;
DROP FUNCTION forecasting_refuse_changed_forecast();
"""


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0001_tables")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]
