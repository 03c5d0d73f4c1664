"""Tenants that were there before traffic keys get their first one."""

from django.db import migrations
from django.utils import timezone


def first_keys(apps, schema_editor):
    keys = apps.get_model("tenants", "TrafficKey")
    for tenant in apps.get_model("tenants", "Tenant").objects.filter(traffic_keys__isnull=True):
        keys.objects.create(tenant=tenant, sequence=1, created_at=timezone.now(), created_by="portal")


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_traffic_key")]
    operations = [migrations.RunPython(first_keys, migrations.RunPython.noop)]
