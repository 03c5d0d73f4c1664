"""Health of the engines of one environment; when manifests were applied, and how a release left them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("releases", "0009_tenant_bound"),
    ]

    operations = [
        migrations.AddField(
            model_name="componenthealth",
            name="environment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="health",
                to="releases.environment",
            ),
        ),
        migrations.AddField(
            model_name="releasemanifest",
            name="applied_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="releasemanifest",
            name="ended",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="releasemanifest",
            name="ended_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name="componenthealth",
            name="name",
            field=models.CharField(max_length=40),
        ),
        migrations.AddConstraint(
            model_name="componenthealth",
            constraint=models.UniqueConstraint(
                fields=("name", "environment"), name="health_once", nulls_distinct=False
            ),
        ),
    ]
