"""Istio's control plane and a gateway that it steers, as plain processes in a network namespace of their own.

istiod is the real one, built from its Go module; the gateway is a stock Envoy, which lacks Istio's own
filters, so istiod is told not to ask for them. Both end with the tests.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import httpx

from mlops_portal.stack.layout import package_folder

ROOT = Path(__file__).resolve().parents[2]
ISTIOD = ROOT / "var/cluster/istiod"
GATEWAY_ADDRESS = "10.244.255.1"  # one of the namespace's own; no pod gets it
GATEWAY_PORT = 18888
XDS_PORT, DEBUG_PORT, MONITORING_PORT, ADMIN_PORT = 15010, 15080, 15014, 19901
PATIENCE = 60.0
# What a stock Envoy does not have, and what these tests do not look at.
WITHOUT = (
    "PILOT_ENABLE_METADATA_EXCHANGE",
    "PILOT_ENABLE_ALPN_FILTER",
    "PILOT_ENABLE_GATEWAY_API",
    "PILOT_ENABLE_ANALYSIS",
)


class Process:
    """A program whose output goes to a log."""

    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **environment}, start_new_session=True
            )

    def await_answer(self, url: str) -> None:
        """Returns once there is a 200 at the address."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if httpx.get(url, timeout=2, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nothing answers at {url}:\n{self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def istiod(folder: Path, kubeconfig: Path) -> Process:
    """The control plane, on loopback and without TLS."""
    if not ISTIOD.exists():
        raise RuntimeError(f"{ISTIOD.relative_to(ROOT)} is missing: `make test-istio` builds it")
    command = [
        *(str(ISTIOD), "discovery", "--kubeconfig", str(kubeconfig)),
        *("--meshConfig", str(Path(__file__).with_name("mesh.yaml"))),
        *("--grpcAddr", f"127.0.0.1:{XDS_PORT}", "--secureGRPCAddr", "", "--httpsAddr", ""),
        *("--httpAddr", f"127.0.0.1:{DEBUG_PORT}", "--monitoringAddr", f"127.0.0.1:{MONITORING_PORT}"),
    ]
    # The keys of the tests' issuer come from a server on loopback that signs its certificate itself.
    environment = {**dict.fromkeys(WITHOUT, "false"), "JWKS_RESOLVER_INSECURE_SKIP_VERIFY": "true"}
    process = Process("istiod", command, folder, environment)
    process.await_answer(f"http://127.0.0.1:{DEBUG_PORT}/ready")
    return process


def gateway(folder: Path, namespace: str) -> Process:
    """Istio's ingress gateway: an Envoy that asks istiod for everything."""
    bootstrap = folder / "gateway.json"
    bootstrap.write_text(json.dumps(_bootstrap(namespace)))
    binary = package_folder("envoy") / "_bin" / "envoy"
    command = [str(binary), "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1"]
    process = Process("gateway", [*command, "--log-level", "warning"], folder, {})
    process.await_answer(f"http://127.0.0.1:{ADMIN_PORT}/server_info")
    return process


def _bootstrap(namespace: str) -> dict[str, object]:
    domain = f"{namespace}.svc.cluster.local"
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
    }
    source = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "node": {
            "id": f"router~{GATEWAY_ADDRESS}~gateway-0.{namespace}~{domain}",
            "cluster": f"gateway.{namespace}",
            "metadata": {
                "NAMESPACE": namespace,
                "NAME": "gateway-0",
                "CLUSTER_ID": "Kubernetes",
                "ISTIO_VERSION": "1.31.0",
                "LABELS": {"istio": "ingressgateway"},
                "INSTANCE_IPS": GATEWAY_ADDRESS,
            },
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ADMIN_PORT}}},
        "dynamic_resources": {"ads_config": ads, "cds_config": source, "lds_config": source},
        "static_resources": {
            "clusters": [
                {
                    "name": "xds-grpc",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": options,
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "xds-grpc",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {
                                        "endpoint": {
                                            "address": {
                                                "socket_address": {
                                                    "address": "127.0.0.1",
                                                    "port_value": XDS_PORT,
                                                }
                                            }
                                        }
                                    }
                                ]
                            }
                        ],
                    },
                }
            ]
        },
    }
