"""The inputs of an environment's forms: how each is called, explained and typed."""

from releases.models.kubernetes import MetricsFrom
from releases.web.place_drafts import Choices, Input


def connection_inputs(clusters: Choices) -> tuple[Input, ...]:
    """Of the connection to a cluster."""
    return (
        Input("cluster", "Cluster", kind="choice", choices=clusters),
        Input("namespace", "Namespace", hint="acme-production"),
        Input(
            "gateway_url",
            "Address for callers",
            "The host of the portal's own routes at Istio's gateway, as callers reach it.",
            hint="https://models.example.com",
        ),
        Input("istio_gateway", "Istio's Gateway", "Namespace and name of the Gateway object."),
        Input(
            "artifacts",
            "Artifacts in S3",
            "The portal mirrors each version here once, under its digest.",
            hint="s3://models/acme",
        ),
        Input(
            "artifacts_secret",
            "Secret for S3",
            "By name; it lies in the namespace, and the portal never reads what is in it.",
            hint="models-s3",
        ),
        Input(
            "models_secret",
            "Secret for model servers",
            "Its keys are their environment: MODEL_CACHE_URL, MODEL_ENCRYPTION_KEY, … Empty: none.",
            hint="mlops-portal-models",
        ),
        Input(
            "model_image",
            "Image of the model server",
            "Empty: the one that Seldon Core is configured with, which may be too old for MLflow 3.",
            hint="seldonio/mlserver:1.7.1-mlflow",
        ),
        Input("cpu_request", "CPU requested", "The autoscaler counts in percent of it."),
        Input("cpu_limit", "CPU at most", "Empty: no limit."),
        Input("memory_request", "Memory requested"),
        Input("memory_limit", "Memory at most", "Empty: no limit."),
        Input("start_seconds", "Time to start", "Fetching the artifact included.", "s", "number"),
        Input("metrics_from", "Requests are counted by", kind="choice", choices=MetricsFrom.choices),
        Input(
            "prometheus_url",
            "Prometheus",
            "As the workers reach it.",
            hint="http://prometheus.monitoring:9090",
        ),
    )


SCALING_INPUTS = (
    Input("min_replicas", "At least", unit="pods", kind="number"),
    Input("max_replicas", "At most", unit="pods", kind="number"),
    Input(
        "cpu_percent",
        "CPU",
        "Of what a container requests, on average. Empty: not looked at.",
        "%",
        "optional",
    ),
    Input(
        "requests_per_second",
        "Requests",
        "Per replica; metric requests_per_second of the pods. Empty: not looked at.",
        "/s",
        "optional",
    ),
    Input(
        "queue_depth",
        "Queue",
        "Metric sqs_queue_depth, over all replicas. Empty: not looked at.",
        "waiting",
        "optional",
    ),
    Input("queue", "Name of the queue", "The label queue of that metric."),
    Input("scale_up_percent", "By at most", unit="%", kind="number"),
    Input("scale_up_pods", "… or by", "The larger of the two.", "pods", "number"),
    Input("scale_up_period_seconds", "Every", unit="s", kind="number"),
    Input(
        "scale_up_window_seconds",
        "After",
        "The lowest that was wanted in this time; 0: at once.",
        "s",
        "number",
    ),
    Input("scale_down_percent", "By at most", unit="%", kind="number"),
    Input("scale_down_period_seconds", "Every", unit="s", kind="number"),
    Input("scale_down_window_seconds", "After", "The highest that was wanted in this time.", "s", "number"),
)
NETWORK_INPUTS = (
    Input("models", "Models", "Labels of the pods that are shut; the portal puts them on its models' pods."),
    Input("models_port", "Their port", "Seldon's executor listens on 8000.", kind="number"),
    Input("callers", "Callers", "Labels of the pods that may call them, such as the gateway's."),
    Input("registry", "Registry"),
    Input("registry_port", "Its port", kind="number"),
    Input("storage", "Artifacts"),
    Input("storage_port", "Its port", kind="number"),
    Input("dns", "Name service", "On port 53, UDP and TCP."),
)
CALLER_INPUTS = (
    Input("issuer", "Issuer of tokens", hint="https://id.example.com"),
    Input("jwks_uri", "Its keys", hint="https://id.example.com/.well-known/jwks.json"),
    Input("claim", "Claim", "Has to be the tenant's name."),
    Input("audiences", "Audiences", "One a line. Empty: tokens for anybody.", kind="lines"),
    Input(
        "portal",
        "The portal's own token",
        "Issuer, slash, subject of the token with which the portal's smoke tests come in; its owner "
        "names its file in GATEWAY_TOKEN_FILE. Empty: it has to say the tenant like all others.",
        hint="https://id.example.com/portal",
    ),
    Input(
        "namespaces", "Namespaces", "One a line. Every workload in them may call.", kind="lines", hint="shop"
    ),
    Input(
        "principals",
        "Service accounts",
        "One a line, as Istio names them.",
        kind="lines",
        hint="cluster.local/ns/shop/sa/checkout",
    ),
)
