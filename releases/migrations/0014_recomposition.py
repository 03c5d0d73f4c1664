"""The intent to compose a version again; its references stay inside one tenant (see 0003)."""

from importlib import import_module

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

earlier = import_module("releases.migrations.0003_tenant_bound")

REFERENCES = {"base_id": "modelversion", "newer_id": "modelversion", "result_id": "modelversion"}


class Migration(migrations.Migration):
    dependencies = [
        ("releases", "0013_beside_the_model"),
        ("tenants", "0004_first_traffic_keys"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Recomposition",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("member", models.CharField(max_length=200)),
                ("requested_at", models.DateTimeField()),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("run_id", models.CharField(blank=True, max_length=64)),
                ("artifact_path", models.CharField(blank=True, max_length=200)),
                ("said", models.TextField(blank=True)),
                ("failure", models.TextField(blank=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "base",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="recompositions",
                        to="releases.modelversion",
                    ),
                ),
                (
                    "newer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="releases.modelversion",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "result",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="releases.modelversion",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="tenants.tenant"),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("base", "member", "newer"), name="recomposition_once")
                ],
            },
        ),
        *(
            migrations.RunSQL(
                earlier.FOREIGN.format("recomposition", column, target),
                f"ALTER TABLE releases_recomposition DROP CONSTRAINT recomposition_{column}_of_tenant;",
            )
            for column, target in REFERENCES.items()
        ),
    ]
