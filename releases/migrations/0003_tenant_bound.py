"""References stay inside one tenant, and the history of a release cannot be changed.

A composite foreign key (id, tenant) beside each plain one lets the database itself refuse a row that
points into another tenant. Django cannot declare these, hence SQL.
"""

from django.db import migrations

# table -> {column: table it points to}
REFERENCES = {
    "environment": {"requires_success_in_id": "environment"},
    "modelversion": {"model_id": "registeredmodel"},
    "endpoint": {
        "environment_id": "environment",
        "model_id": "registeredmodel",
        "stable_id": "modelversion",
        "previous_id": "modelversion",
    },
    "deployment": {"endpoint_id": "endpoint", "version_id": "modelversion"},
    "release": {"endpoint_id": "endpoint", "version_id": "modelversion", "stable_id": "modelversion"},
    "hold": {"endpoint_id": "endpoint", "version_id": "modelversion", "release_id": "release"},
    "validationcheck": {"release_id": "release"},
    "approval": {"release_id": "release"},
    "sample": {"release_id": "release"},
    "transition": {"release_id": "release"},
    "idempotencykey": {"release_id": "release"},
    "delivery": {"release_id": "release"},
}
TARGETS = sorted({target for columns in REFERENCES.values() for target in columns.values()})

UNIQUE = "ALTER TABLE releases_{0} ADD CONSTRAINT {0}_of_tenant UNIQUE (id, tenant_id);"
FOREIGN = (
    "ALTER TABLE releases_{0} ADD CONSTRAINT {0}_{1}_of_tenant FOREIGN KEY ({1}, tenant_id) "
    "REFERENCES releases_{2} (id, tenant_id) DEFERRABLE INITIALLY DEFERRED;"
)
TRIGGER = (
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON releases_transition "
    "FOR EACH ROW EXECUTE FUNCTION portal_append_only();"
)


class Migration(migrations.Migration):
    dependencies = [("releases", "0002_initial"), ("tenants", "0002_append_only")]
    operations = [
        *(
            migrations.RunSQL(
                UNIQUE.format(table), f"ALTER TABLE releases_{table} DROP CONSTRAINT {table}_of_tenant;"
            )
            for table in TARGETS
        ),
        *(
            migrations.RunSQL(
                FOREIGN.format(table, column, target),
                f"ALTER TABLE releases_{table} DROP CONSTRAINT {table}_{column}_of_tenant;",
            )
            for table, columns in REFERENCES.items()
            for column, target in columns.items()
        ),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER append_only ON releases_transition;"),
    ]
