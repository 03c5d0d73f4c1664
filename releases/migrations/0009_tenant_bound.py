"""The new references stay inside one tenant too (see 0003)."""

from importlib import import_module

from django.db import migrations

earlier = import_module("releases.migrations.0003_tenant_bound")

REFERENCES = {
    "kubernetesplace": {"environment_id": "environment"},
    "autoscalingpolicy": {"environment_id": "environment", "model_id": "registeredmodel"},
    "releasemanifest": {"release_id": "release"},
    "servicerule": {
        "service_id": "service",
        "environment_id": "environment",
        "model_id": "registeredmodel",
    },
}


class Migration(migrations.Migration):
    dependencies = [("releases", "0008_kubernetes_and_traffic")]
    operations = [
        migrations.RunSQL(
            earlier.UNIQUE.format("service"),
            "ALTER TABLE releases_service DROP CONSTRAINT service_of_tenant;",
        ),
        *(
            migrations.RunSQL(
                earlier.FOREIGN.format(table, column, target),
                f"ALTER TABLE releases_{table} DROP CONSTRAINT {table}_{column}_of_tenant;",
            )
            for table, columns in REFERENCES.items()
            for column, target in columns.items()
        ),
    ]
