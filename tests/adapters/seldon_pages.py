"""The metrics pages in a predictor's pod, written by Prometheus' own client: names, labels and buckets are
those of Seldon's executor 1.17.1 and of Istio's sidecar."""

import itertools
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
MILLISECONDS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
OF_EXECUTOR = ("deployment_name", "predictor_name", "predictor_version", "service", "method", "code")
OF_ISTIO = ("reporter", "destination_service_name", "source_workload", "response_code", "response_flags")


class Page:
    """Of a process that has just begun."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.gauge("process_start_time_seconds", time.time())

    def gauge(self, name: str, value: float, **labels: str) -> None:
        gauge = Gauge(name, "A gauge", list(labels), registry=self.registry)
        (gauge.labels(**labels) if labels else gauge).set(value)

    def count(self, code: str, seconds: float = 0.004) -> None:
        raise NotImplementedError

    def text(self) -> bytes:
        return bytes(generate_latest(self.registry))


class ExecutorPage(Page):
    """What it serves, a summary of the same, and what it asks of the model beside it."""

    def __init__(self, predictor: str) -> None:
        super().__init__()
        self.gauge("go_info", 1, version="go1.18.10")
        self._own = ("wine", predictor, "")
        name = "seldon_api_executor_{}_requests_seconds"
        self._metrics: list[Histogram | Summary] = [
            Histogram(name.format("server"), "Served", OF_EXECUTOR, buckets=SECONDS, registry=self.registry),
            Histogram(name.format("client"), "Asked", OF_EXECUTOR, buckets=SECONDS, registry=self.registry),
            Summary(name.format("server") + "_summary", "Served", OF_EXECUTOR, registry=self.registry),
        ]

    def count(
        self, code: str, seconds: float = 0.004, service: str = "predictions", method: str = "post"
    ) -> None:
        for metric in self._metrics:
            metric.labels(*self._own, service, method, code).observe(seconds)


class IstioPage(Page):
    """What the sidecar reports as the destination, by caller; the calls that the pod makes itself, for which
    it is the source; and the agent's own figures."""

    def __init__(self, predictor: str) -> None:
        super().__init__()
        self.gauge("istio_agent_process_start_time_seconds", time.time())
        self.gauge("istio_build", 1, component="proxy", tag="1.29.0")
        self._service = f"wine-{predictor}"
        self._callers = itertools.cycle(("istio-ingressgateway", "batch"))
        self._requests = Counter("istio_requests", "Requests", OF_ISTIO, registry=self.registry)
        self._durations = Histogram(
            "istio_request_duration_milliseconds",
            "Durations",
            OF_ISTIO,
            buckets=MILLISECONDS,
            registry=self.registry,
        )

    def count(self, code: str, seconds: float = 0.004) -> None:
        caller = next(self._callers)
        for reporter, service in (
            ("destination", self._service),
            ("source", self._service),
            ("destination", f"{self._service}-model"),  # somebody who goes round the executor
        ):
            labels = (reporter, service, caller, code, "-")
            self._requests.labels(*labels).inc()
            self._durations.labels(*labels).observe(seconds * 1000)
