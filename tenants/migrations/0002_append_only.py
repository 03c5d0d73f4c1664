"""The audit log cannot be changed: a trigger refuses UPDATE and DELETE."""

from django.db import migrations

FUNCTION = """
CREATE FUNCTION portal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tenants_auditevent
FOR EACH ROW EXECUTE FUNCTION portal_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]
    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION portal_append_only();"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER append_only ON tenants_auditevent;"),
    ]
