"""Where an environment on Kubernetes is, how its models run there, and what is shown of the cluster."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from releases.domain.autoscaling import Autoscaling
from releases.domain.connection import KubernetesConnection
from releases.domain.network import Callers, NetworkRules
from releases.models.catalog import RegisteredModel
from releases.models.places import Environment
from releases.models.release import Release
from tenants.models import Tenant

DNS_LABEL = RegexValidator(
    r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z",
    "Lower-case letters, digits and hyphens, at most 63, no hyphen at the ends.",
)
SCALING, NETWORK = Autoscaling(), NetworkRules()
CONNECTION_FIELDS = tuple(KubernetesConnection.__dataclass_fields__)
PORT = [MinValueValidator(1), MaxValueValidator(65_535)]


class MetricsFrom(models.TextChoices):
    """Who counts the requests."""

    EXECUTOR = "executor", "the pods themselves"
    PROMETHEUS_EXECUTOR = "prometheus-executor", "Prometheus, series of Seldon's executor"
    PROMETHEUS_ISTIO = "prometheus-istio", "Prometheus, series of Istio"


class KubernetesPlace(models.Model):
    """The namespace of one environment. The namespace belongs to this environment alone, and its label
    `mlops-portal.io/tenant` has to name the tenant: only who rules the cluster can give it away."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    environment = models.OneToOneField(Environment, models.CASCADE, related_name="kubernetes")
    cluster = models.CharField(max_length=40)  # a name in the setting KUBERNETES_CLUSTERS
    namespace = models.CharField(max_length=63, validators=[DNS_LABEL])

    # Where callers come in: the address of our own host at Istio's gateway.
    gateway_url = models.URLField(max_length=200)
    istio_gateway = models.CharField(max_length=127, default="istio-system/seldon-gateway")

    # What a model's pods are made of.
    artifacts = models.CharField(max_length=200)  # s3://bucket/prefix
    artifacts_secret = models.CharField(max_length=63, validators=[DNS_LABEL])
    # Its keys are the environment of the model servers: what runs beside a model needs them.
    models_secret = models.CharField(max_length=63, blank=True, validators=[DNS_LABEL])
    model_image = models.CharField(max_length=200, blank=True)
    cpu_request = models.CharField(max_length=20, default="500m")
    cpu_limit = models.CharField(max_length=20, blank=True, default="2")
    memory_request = models.CharField(max_length=20, default="1Gi")
    memory_limit = models.CharField(max_length=20, blank=True, default="2Gi")
    start_seconds = models.PositiveIntegerField(default=600)

    # Who counts.
    metrics_from = models.CharField(max_length=30, choices=MetricsFrom.choices, default=MetricsFrom.EXECUTOR)
    prometheus_url = models.URLField(max_length=200, blank=True)

    # How callers prove who they are (see `Callers`).
    jwt_issuer = models.CharField(max_length=200, blank=True)
    jwks_uri = models.URLField(max_length=200, blank=True)
    jwt_claim = models.CharField(max_length=60, default="tenant")
    jwt_audiences = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    caller_namespaces = ArrayField(models.CharField(max_length=63), default=list, blank=True)
    caller_principals = ArrayField(models.CharField(max_length=250), default=list, blank=True)
    portal_principal = models.CharField(max_length=250, blank=True)

    # Who may talk to whom (see `NetworkRules`).
    has_network_policy = models.BooleanField(default=False)
    network_models = models.CharField(max_length=120, default=NETWORK.models)
    network_models_port = models.PositiveIntegerField(default=NETWORK.models_port, validators=PORT)
    network_callers = models.CharField(max_length=120, default=NETWORK.callers)
    network_registry = models.CharField(max_length=120, default=NETWORK.registry)
    network_registry_port = models.PositiveIntegerField(default=NETWORK.registry_port, validators=PORT)
    network_storage = models.CharField(max_length=120, default=NETWORK.storage)
    network_storage_port = models.PositiveIntegerField(default=NETWORK.storage_port, validators=PORT)
    network_dns = models.CharField(max_length=120, default=NETWORK.dns)

    # What the workers last found to be different from this, and when they looked.
    drift = ArrayField(models.CharField(max_length=300), default=list, blank=True)
    looked_at = models.DateTimeField(null=True)
    # The fingerprint of the protection that was last brought about: tells a change that somebody wanted from
    # one that somebody made in the cluster.
    applied = models.CharField(max_length=64, blank=True)
    # What the portal's page asks of the workers: examine the connection.
    examine_asked_at = models.DateTimeField(null=True)
    examined_at = models.DateTimeField(null=True)
    findings = models.JSONField(default=list)  # [{"name", "is_good", "said"}], as `Finding`

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cluster", "namespace"], name="namespace_of_one_environment"),
        ]

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}"

    @property
    def connection(self) -> KubernetesConnection:
        """Where it is and what its pods are made of, as a value."""
        return KubernetesConnection(**{name: getattr(self, name) for name in CONNECTION_FIELDS})

    def connect(self, wanted: KubernetesConnection) -> None:
        """Take over a connection; what was found out about another place is forgotten."""
        if (self.cluster, self.namespace) != (wanted.cluster, wanted.namespace):
            self.drift, self.looked_at, self.applied = [], None, ""
            self.findings, self.examined_at = [], None
        for name in CONNECTION_FIELDS:
            setattr(self, name, getattr(wanted, name))

    def protect(self, network: NetworkRules | None, callers: Callers) -> None:
        """Take over who may talk to whom; without a policy the rules that were stay, for another day."""
        self.has_network_policy = network is not None
        for name in NetworkRules.__dataclass_fields__ if network is not None else ():
            setattr(self, f"network_{name}", getattr(network, name))
        self.jwt_issuer, self.jwks_uri, self.jwt_claim = callers.issuer, callers.jwks_uri, callers.claim
        self.jwt_audiences, self.portal_principal = list(callers.audiences), callers.portal
        self.caller_namespaces, self.caller_principals = list(callers.namespaces), list(callers.principals)

    @property
    def network_rules(self) -> NetworkRules | None:
        """None when the namespace is left open."""
        return self.network_rules_kept if self.has_network_policy else None

    @property
    def network_rules_kept(self) -> NetworkRules:
        """The rules, in force or not."""
        return NetworkRules(
            models=self.network_models,
            callers=self.network_callers,
            models_port=self.network_models_port,
            registry=self.network_registry,
            registry_port=self.network_registry_port,
            storage=self.network_storage,
            storage_port=self.network_storage_port,
            dns=self.network_dns,
        )

    @property
    def callers(self) -> Callers:
        """How callers prove who they are."""
        return Callers(
            issuer=self.jwt_issuer,
            jwks_uri=self.jwks_uri,
            claim=self.jwt_claim,
            audiences=tuple(self.jwt_audiences),
            namespaces=tuple(self.caller_namespaces),
            principals=tuple(self.caller_principals),
            portal=self.portal_principal,
        )


class AutoscalingPolicy(models.Model):
    """How a model scales in an environment; without a model, how all do that have no policy of their own."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    environment = models.ForeignKey(Environment, models.CASCADE, related_name="autoscaling")
    model = models.ForeignKey(RegisteredModel, models.CASCADE, null=True, related_name="+")
    min_replicas = models.PositiveSmallIntegerField(default=SCALING.min_replicas)
    max_replicas = models.PositiveSmallIntegerField(default=SCALING.max_replicas)
    cpu_percent = models.PositiveSmallIntegerField(null=True, blank=True, default=SCALING.cpu_percent)
    requests_per_second = models.PositiveIntegerField(
        null=True, blank=True, default=SCALING.requests_per_second
    )
    queue = models.CharField(max_length=63, blank=True, default=SCALING.queue)
    queue_depth = models.PositiveIntegerField(null=True, blank=True, default=SCALING.queue_depth)
    scale_down_window_seconds = models.PositiveSmallIntegerField(default=SCALING.scale_down_window_seconds)
    scale_down_percent = models.PositiveSmallIntegerField(default=SCALING.scale_down_percent)
    scale_down_period_seconds = models.PositiveSmallIntegerField(default=SCALING.scale_down_period_seconds)
    scale_up_window_seconds = models.PositiveSmallIntegerField(default=SCALING.scale_up_window_seconds)
    scale_up_percent = models.PositiveSmallIntegerField(default=SCALING.scale_up_percent)
    scale_up_pods = models.PositiveSmallIntegerField(default=SCALING.scale_up_pods)
    scale_up_period_seconds = models.PositiveSmallIntegerField(default=SCALING.scale_up_period_seconds)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "model"], name="autoscaling_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"autoscaling of {self.model or 'all models'} in {self.environment}"

    def value(self) -> Autoscaling:
        """The policy as a value."""
        return Autoscaling(**{name: getattr(self, name) for name in Autoscaling.__dataclass_fields__})

    def take(self, wanted: Autoscaling) -> None:
        """Take a value over."""
        for name in Autoscaling.__dataclass_fields__:
            setattr(self, name, getattr(wanted, name))


class ReleaseManifest(models.Model):
    """The exact manifests of a release, as YAML: those that were there before it, those that it would
    apply, tried dry at `at`, and those that were there when it had ended."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    release = models.OneToOneField(Release, models.CASCADE, related_name="manifest")
    before = models.TextField(blank=True)
    after = models.TextField()
    at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)
    ended = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"manifests of {self.release_id}"
