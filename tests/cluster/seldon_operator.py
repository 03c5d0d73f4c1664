"""A stand-in for Seldon Core's operator: keeps an API server's objects as SeldonDeployments want them.

It polls where the real one watches; what it then does follows `Reconcile` of the real one (1.17.1) in order
and in its limits, of which these matter to who releases models:

* the VirtualService follows the traffic, and what was removed goes, only while *all* Deployments of the
  SeldonDeployment are ready; one that crash-loops freezes both;
* the DestinationRule of a removed predictor stays; the autoscaler's spec is overwritten as a whole;
* replicas under an autoscaler, or given nowhere, are left alone;
* a Deployment that never had a pod (a quota) is not known to the status, so that it stays when its predictor
  is removed;
* a refusal of the API server makes the SeldonDeployment `Failed`, with the text.

The spec of a Deployment is written as a whole, where the real one merges: what somebody else added goes.
"""

import contextlib
import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from urllib3.exceptions import HTTPError

from releases.adapters.kubernetes_api import Kind, Manifest
from tests.cluster.api import (
    AUTOSCALER,
    DEPLOYMENT,
    DESTINATION_RULE,
    SELDON_DEPLOYMENT,
    SERVICE,
    VIRTUAL_SERVICE,
    Api,
    ApiError,
)
from tests.cluster.seldon_objects import Components, NotPlayed, components

log = logging.getLogger(__name__)

MANAGER = "seldon-core-operator"
EVERY = 0.2
NO_PROGRESS = "Deployment is no longer progressing and not available."
DEPLOYMENTS, SERVICES = "DeploymentsReady", "ServicesReady"
AUTOSCALERS, ROUTES = "HpasReady", "istioVirtualServicesReady"


class SeldonOperator:
    """Runs in a thread of its own, over all namespaces, until it is stopped."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._settled: dict[str, tuple[str, ...]] = {}
        self.failure: Exception | None = None  # an error in the stand-in itself, for the fixture to raise
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="seldon-operator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ending.wait(EVERY):
            try:
                self.look()
            except (ApiError, HTTPError, OSError) as error:
                log.info("the API server does not answer the operator: %s", error)
            except Exception as error:
                log.exception("the stand-in is broken")
                self.failure = error
                return

    def look(self) -> None:
        """One look at everything; what has not changed since it last needed nothing is passed over."""
        mine = "seldon-deployment-id"
        deployments = self._api.list(DEPLOYMENT, labels=mine)
        routes = {
            (item["metadata"]["namespace"], item["metadata"]["name"]): item
            for item in self._api.list(VIRTUAL_SERVICE)
        }
        for seldon in self._api.list(SELDON_DEPLOYMENT):
            meta = seldon["metadata"]
            if meta.get("deletionTimestamp"):
                continue
            own = [item for item in deployments if _belongs(item, meta["uid"])]
            route = routes.get((meta["namespace"], meta["name"]), {"metadata": {}})
            state = tuple(item["metadata"].get("resourceVersion", "") for item in (seldon, route, *own))
            if self._settled.get(meta["uid"]) != state and not self._try(seldon):
                self._settled[meta["uid"]] = state

    def _try(self, seldon: Manifest) -> bool:
        """Whether it has to be looked at again, because something was changed or refused."""
        try:
            return self._reconcile(seldon)
        except NotPlayed as error:
            said = str(error)
        except ApiError as error:
            log.info("%s: %s", seldon["metadata"]["name"], error)
            if error.status == 409:  # somebody was faster
                return True
            said = error.content["message"]
        with contextlib.suppress(ApiError):  # it may be gone by now
            self._tell(seldon, {"state": "Failed", "description": said})
        return True

    def _reconcile(self, seldon: Manifest) -> bool:
        """Whether anything was changed."""
        wanted = components(seldon)
        status = dict(seldon.get("status") or {})
        created = self._services(wanted, status)
        services_ready = not created
        scaled = [self._autoscaler(item) for item in wanted.autoscalers]
        self._drop_autoscalers(wanted)
        ready, progressing, changed = self._deployments(wanted, status)
        if ready:
            status["address"] = _address(wanted)
            created += self._routes(wanted, status)
            created += self._remove_what_is_gone(seldon, wanted, status)
        _conclude(status, services_ready, not any(scaled), wanted)
        if ready and services_ready and not any(scaled):
            status |= {"state": "Available", "description": ""}
        elif not ready and not progressing:
            status |= {"state": "Failed", "description": NO_PROGRESS}
        else:
            status |= {"state": "Creating", "description": ""}
        if not status["description"]:
            del status["description"]
        return self._tell(seldon, status) or bool(created) or any(scaled) or changed

    def _services(self, wanted: Components, status: dict[str, Any]) -> int:
        created = 0
        for item in wanted.services:
            if self._api.get(SERVICE, item["metadata"]["name"], item["metadata"]["namespace"]) is None:
                created += 1
            self._api.apply(SERVICE, item, MANAGER)
        known = dict(status.get("serviceStatus") or {})
        status["serviceStatus"] = known if created else known | wanted.service_status
        return created

    def _autoscaler(self, item: Manifest) -> bool:
        """Create it, or overwrite its whole spec; whether anything was to do."""
        meta = item["metadata"]
        found = self._api.get(AUTOSCALER, meta["name"], meta["namespace"])
        if found is None:
            self._api.create(AUTOSCALER, item, meta["namespace"])
            return True
        if found["spec"] == item["spec"]:
            return False
        self._api.replace(AUTOSCALER, {**found, "spec": item["spec"]})
        return False

    def _drop_autoscalers(self, wanted: Components) -> None:
        """One with the name of a Deployment that shall have none; others are nobody's business."""
        kept = {item["metadata"]["name"] for item in wanted.autoscalers}
        for item in wanted.deployments:
            meta = item["metadata"]
            if meta["name"] not in kept and self._api.get(AUTOSCALER, meta["name"], meta["namespace"]):
                self._api.delete(AUTOSCALER, meta["name"], meta["namespace"])

    def _deployments(self, wanted: Components, status: dict[str, Any]) -> tuple[bool, bool, bool]:
        """(all ready, still progressing, anything changed)."""
        ready, progressing, changed = True, True, False
        seen = dict(status.get("deploymentStatus") or {})
        conditions: list[Mapping[str, Any]] = []
        for number, item in enumerate(wanted.deployments):
            meta = item["metadata"]
            before = self._api.get(DEPLOYMENT, meta["name"], meta["namespace"])
            if before is None:
                self._api.create(DEPLOYMENT, item, meta["namespace"])
                ready, changed = False, True
                continue
            spec = {"replicas": before["spec"]["replicas"], **item["spec"]}
            found = self._api.replace(DEPLOYMENT, {**before, "spec": spec})
            if found["metadata"]["generation"] != before["metadata"]["generation"]:
                ready, changed = False, True
                continue
            state = found.get("status") or {}
            counts = {key: state.get(key, 0) for key in ("replicas", "availableReplicas")}
            if any(counts.values()) or meta["name"] in seen:  # without a pod it never gets known
                seen[meta["name"]] = {key: value for key, value in counts.items() if value}
            if number == 0:
                status["replicas"] = counts["replicas"]
            available = _condition(state, "Available")
            if not state.get("readyReplicas") or state.get("unavailableReplicas"):
                if ready:
                    _set(status, DEPLOYMENTS, available)
                    stuck = _condition(state, "Progressing").get("status") == "False"
                    progressing = not (stuck and available.get("status") == "False")
                ready = False
            conditions.append(available)
        status["deploymentStatus"] = seen
        if ready:
            latest = max(conditions, key=lambda condition: condition["lastTransitionTime"])
            _set(status, DEPLOYMENTS, latest)
        return ready, progressing, changed

    def _routes(self, wanted: Components, status: dict[str, Any]) -> int:
        created = 0
        pairs = [(VIRTUAL_SERVICE, wanted.virtual_service)]
        pairs += [(DESTINATION_RULE, item) for item in wanted.destination_rules]
        for kind, item in pairs:
            meta = item["metadata"]
            found = self._api.get(kind, meta["name"], meta["namespace"])
            if found is None:
                self._api.create(kind, item, meta["namespace"])
                created += 1
            elif found["spec"] != item["spec"]:
                self._api.replace(kind, {**found, "spec": item["spec"]})
        reason = "Not all VirtualServices created" if created else "All VirtualServices created"
        _set(status, ROUTES, {"status": str(not created), "reason": reason})
        return created

    def _remove_what_is_gone(self, seldon: Manifest, wanted: Components, status: dict[str, Any]) -> int:
        """Deployments and autoscalers of removed predictors, and once those are away, their Services."""
        namespace = seldon["metadata"]["namespace"]
        kept = {item["metadata"]["name"] for item in wanted.deployments}
        gone = [name for name in status["deploymentStatus"] if name not in kept]
        for name in gone:
            if self._api.get(DEPLOYMENT, name, namespace) is None:
                del status["deploymentStatus"][name]
                continue
            self._delete(DEPLOYMENT, name, namespace)
            self._delete(AUTOSCALER, name, namespace)
        if gone:
            return len(gone)
        status["serviceStatus"] = dict(wanted.service_status)
        for item in self._api.list(SERVICE, namespace, f"seldon-deployment-id={seldon['metadata']['name']}"):
            if item["metadata"]["name"] not in wanted.service_status:
                self._delete(SERVICE, item["metadata"]["name"], namespace)
        return 0

    def _delete(self, kind: Kind, name: str, namespace: str) -> None:
        self._api.delete(kind, name, namespace, propagationPolicy="Foreground")

    def _tell(self, seldon: Manifest, status: Mapping[str, Any]) -> bool:
        """Write the status if it differs; whether it did."""
        told = {**(seldon.get("status") or {}), **status}
        if "description" not in status:
            told.pop("description", None)
        if told == seldon.get("status"):
            return False
        self._api.replace(SELDON_DEPLOYMENT, {**seldon, "status": told}, "status")
        return True


def _belongs(item: Manifest, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", []))


def _address(wanted: Components) -> dict[str, str]:
    rule = wanted.destination_rules[0]
    return {"url": f"http://{rule['spec']['host']}:8000/v2/models/model/infer"}


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def _set(status: dict[str, Any], kind: str, condition: Mapping[str, Any]) -> None:
    """Put a condition among the others, which are sorted; its time changes with its status only."""
    others = {each["type"]: each for each in status.get("conditions") or []}
    before = others.get(kind, {})
    kept = {key: condition[key] for key in ("message", "reason") if condition.get(key)}
    state = condition.get("status", "Unknown")
    at = before.get("lastTransitionTime") if before.get("status") == state else None
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    others[kind] = {"lastTransitionTime": at or now, "status": state, "type": kind, **kept}
    status["conditions"] = [others[name] for name in sorted(others)]


def _conclude(status: dict[str, Any], services: bool, autoscalers: bool, wanted: Components) -> None:
    """The conditions besides those of Deployments and routes, and `Ready`, which sums up all."""
    scaling = "All HPAs resources ready" if wanted.autoscalers else "No HPAs defined"
    _set(
        status,
        AUTOSCALERS,
        {"status": str(autoscalers), "reason": scaling if autoscalers else "HPAs not ready"},
    )
    told = "All services created" if services else "Not all services created"
    _set(status, SERVICES, {"status": str(services), "reason": told})
    _set(status, "KedaReady", {"status": "True", "reason": "No KEDA resources defined"})
    _set(status, "PdbsReady", {"status": "True", "reason": "No PDBs defined"})
    _set(
        status,
        "AmbassadorMappingsReady",
        {"status": "True", "reason": "No Ambassador Mappaings defined"},  # spelt so
    )
    for kind in (DEPLOYMENTS, ROUTES):
        if not _condition(status, kind):
            _set(status, kind, {})
    parts = [each for each in status["conditions"] if each["type"] != "Ready"]
    broken = [each for each in parts if each["status"] != "True"]
    _set(status, "Ready", broken[0] if broken else {"status": "True"})
