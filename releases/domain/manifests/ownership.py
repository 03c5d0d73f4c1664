"""By what the portal knows its own objects in a cluster again. Pure."""

TENANT = "mlops-portal.io/tenant"  # the namespace carries it as well: it says whose it is
ENVIRONMENT = "mlops-portal.io/environment"
MODEL = "mlops-portal.io/model"
MANAGED_BY = "app.kubernetes.io/managed-by"
PORTAL = "mlops-portal"


def labels(tenant: str, environment: str) -> dict[str, str]:
    """Labels of everything that is the portal's in an environment, and of nothing else."""
    return {MANAGED_BY: PORTAL, TENANT: tenant, ENVIRONMENT: environment}


def selector(tenant: str, environment: str) -> str:
    """The same as a label selector."""
    return ",".join(f"{key}={value}" for key, value in labels(tenant, environment).items())
