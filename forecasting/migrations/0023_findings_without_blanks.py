"""Rules and verdicts of findings have values without blanks, as programs like them; people see labels."""

from django.db import migrations, models

RULES = [
    "shape", "order", "duplicate", "price", "range", "volume", "phantom_holiday", "session", "unit_jump", "step", "spike",
    "stale_run", "no_trades", "gap", "few_bars", "old_bars",
]
VERDICTS = ["repaired", "left_out", "refused", "noted"]
REPLACE = "UPDATE forecasting_finding SET rule = replace(rule, '{0}', '{1}'), verdict = replace(verdict, '{0}', '{1}')"


def labelled(values):
    return [(value, value.replace("_", " ")) for value in values]


class Migration(migrations.Migration):
    dependencies = [("forecasting", "0022_webhooks")]

    operations = [
        migrations.RemoveConstraint(model_name="finding", name="finding_rule_known"),
        migrations.RemoveConstraint(model_name="finding", name="finding_verdict_known"),
        migrations.RunSQL(REPLACE.format(" ", "_"), REPLACE.format("_", " ")),
        migrations.AlterField("finding", "rule", models.CharField(choices=labelled(RULES), max_length=16)),
        migrations.AlterField("finding", "verdict", models.CharField(choices=labelled(VERDICTS), max_length=8)),
        migrations.AddConstraint(
            "finding", models.CheckConstraint(condition=models.Q(("rule__in", RULES)), name="finding_rule_known")
        ),
        migrations.AddConstraint(
            "finding", models.CheckConstraint(condition=models.Q(("verdict__in", VERDICTS)), name="finding_verdict_known")
        ),
    ]
