"""A stand-in for Seldon Core's operator: keeps an API server's objects as SeldonDeployments want them.

It looks at everything when anything has changed; what it then does follows `Reconcile` of the real one
(1.17.1) in order and in its limits, of which these matter to who releases models:

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
from collections.abc import Collection, Mapping
from dataclasses import dataclass
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
from tests.cluster.watching import Changes

log = logging.getLogger(__name__)

MANAGER = "seldon-core-operator"
ID = "seldon-deployment-id"
NO_PROGRESS = "Deployment is no longer progressing and not available."
DEPLOYMENTS, SERVICES = "DeploymentsReady", "ServicesReady"
AUTOSCALERS, ROUTES = "HpasReady", "istioVirtualServicesReady"


@dataclass(frozen=True)
class Own:
    """What of a SeldonDeployment's objects there is: its Deployments by name, and its VirtualService."""

    deployments: Mapping[str, Manifest]
    route: Manifest | None

    def all(self) -> list[Manifest]:
        return [*self.deployments.values(), *([self.route] if self.route else [])]


class SeldonOperator:
    """Runs in a thread of its own, over all namespaces, until it is stopped."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._settled: dict[str, tuple[str, ...]] = {}
        self._written: dict[str, Any] = {}  # by `_key`: what needs no second look
        self.failure: Exception | None = None  # an error in the stand-in itself, for the fixture to raise
        self._changes = Changes(api, SELDON_DEPLOYMENT, DEPLOYMENT, VIRTUAL_SERVICE)
        self._thread = threading.Thread(target=self._run, name="seldon-operator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._changes.stop()
        self._thread.join(30)

    def _run(self) -> None:
        while self._changes.wait():
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
        deployments = self._api.list(DEPLOYMENT, labels=ID)
        routes = self._api.list(VIRTUAL_SERVICE)
        for seldon in self._api.list(SELDON_DEPLOYMENT):
            meta = seldon["metadata"]
            if meta.get("deletionTimestamp"):
                continue
            own = Own(
                {item["metadata"]["name"]: item for item in deployments if _belongs(item, meta["uid"])},
                next((item for item in routes if _belongs(item, meta["uid"])), None),
            )
            state = tuple(item["metadata"]["resourceVersion"] for item in (seldon, *own.all()))
            if self._settled.get(meta["uid"]) != state and not self._try(seldon, own):
                self._settled[meta["uid"]] = state

    def _try(self, seldon: Manifest, own: Own) -> bool:
        """Whether it has to be looked at again, because something was changed or refused."""
        try:
            return self._reconcile(seldon, own)
        except NotPlayed as error:
            said = str(error)
        except ApiError as error:
            log.info("%s: %s", seldon["metadata"]["name"], error)
            if error.status == 409:  # somebody was faster
                return True
            if _goes_with_its_namespace(error):
                return False
            said = error.content["message"]
        with contextlib.suppress(ApiError):  # it may be gone by now
            self._tell(seldon, {"state": "Failed", "description": said})
        return True

    def _reconcile(self, seldon: Manifest, own: Own) -> bool:
        """Whether anything was changed."""
        wanted = components(seldon)
        status = dict(seldon.get("status") or {})
        namespace, labels = seldon["metadata"]["namespace"], f"{ID}={seldon['metadata']['name']}"
        services = {item["metadata"]["name"] for item in self._api.list(SERVICE, namespace, labels)}
        created = self._services(wanted, services, status)
        services_ready = not created
        scaled = self._autoscalers(wanted, namespace)
        ready, progressing, changed = self._deployments(wanted, own.deployments, status)
        if ready:
            status["address"] = _address(wanted)
            created += self._routes(wanted, own.route, status)
            created += self._remove_what_is_gone(namespace, wanted, own.deployments, services, status)
        _conclude(status, services_ready, not scaled, wanted)
        if ready and services_ready and not scaled:
            status |= {"state": "Available", "description": ""}
        elif not ready and not progressing:
            status |= {"state": "Failed", "description": NO_PROGRESS}
        else:
            status |= {"state": "Creating", "description": ""}
        if not status["description"]:
            del status["description"]
        return self._tell(seldon, status) or bool(created) or scaled or changed

    def _services(self, wanted: Components, present: Collection[str], status: dict[str, Any]) -> int:
        created = 0
        for item in wanted.services:
            is_new = item["metadata"]["name"] not in present
            if is_new or self._written.get(_key(SERVICE, item)) != item:
                self._api.apply(SERVICE, item, MANAGER)
                self._written[_key(SERVICE, item)] = item
            created += is_new
        known = dict(status.get("serviceStatus") or {})
        status["serviceStatus"] = known if created else known | wanted.service_status
        return created

    def _autoscalers(self, wanted: Components, namespace: str) -> bool:
        """Create them, or overwrite their whole specs, and delete those with the name of a Deployment that
        shall have none; others are nobody's business. Whether any is new."""
        present = {item["metadata"]["name"]: item for item in self._api.list(AUTOSCALER, namespace)}
        created = False
        for item in wanted.autoscalers:
            found = present.pop(item["metadata"]["name"], None)
            if found is None:
                self._api.create(AUTOSCALER, item, namespace)
                created = True
            elif found["spec"] != item["spec"]:
                self._api.replace(AUTOSCALER, {**found, "spec": item["spec"]})
        for item in wanted.deployments:
            if item["metadata"]["name"] in present:
                self._delete(AUTOSCALER, item["metadata"]["name"], namespace)
        return created

    def _deployment(self, item: Manifest, before: Manifest | None) -> Manifest | None:
        """As it is there; None when it had to be made or changed."""
        meta = item["metadata"]
        if before is None:
            self._api.create(DEPLOYMENT, item, meta["namespace"])
            return None
        mark = (item["spec"], before["metadata"]["generation"])
        if self._written.get(_key(DEPLOYMENT, item)) == mark:
            return before
        spec = {"replicas": before["spec"]["replicas"], **item["spec"]}
        found = self._api.replace(DEPLOYMENT, {**before, "spec": spec})
        generation = found["metadata"]["generation"]
        self._written[_key(DEPLOYMENT, item)] = (item["spec"], generation)
        return found if generation == before["metadata"]["generation"] else None

    def _deployments(
        self, wanted: Components, present: Mapping[str, Manifest], status: dict[str, Any]
    ) -> tuple[bool, bool, bool]:
        """(all ready, still progressing, anything changed)."""
        ready, progressing, changed = True, True, False
        seen = dict(status.get("deploymentStatus") or {})
        conditions: list[Mapping[str, Any]] = []
        for number, item in enumerate(wanted.deployments):
            name = item["metadata"]["name"]
            found = self._deployment(item, present.get(name))
            if found is None:
                ready, changed = False, True
                continue
            state = found.get("status") or {}
            counts = {key: state.get(key, 0) for key in ("replicas", "availableReplicas")}
            if any(counts.values()) or name in seen:  # without a pod it never gets known
                seen[name] = {key: value for key, value in counts.items() if value}
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

    def _routes(self, wanted: Components, route: Manifest | None, status: dict[str, Any]) -> int:
        created = 0
        item = wanted.virtual_service
        if route is None:
            self._api.create(VIRTUAL_SERVICE, item, item["metadata"]["namespace"])
            created += 1
        elif route["spec"] != item["spec"]:
            self._api.replace(VIRTUAL_SERVICE, {**route, "spec": item["spec"]})
        for item in wanted.destination_rules:
            if self._written.get(_key(DESTINATION_RULE, item)) == item:
                continue
            meta = item["metadata"]
            if found := self._api.get(DESTINATION_RULE, meta["name"], meta["namespace"]):
                self._api.replace(DESTINATION_RULE, {**found, "spec": item["spec"]})
            else:
                self._api.create(DESTINATION_RULE, item, meta["namespace"])
                created += 1
            self._written[_key(DESTINATION_RULE, item)] = item
        reason = "Not all VirtualServices created" if created else "All VirtualServices created"
        _set(status, ROUTES, {"status": str(not created), "reason": reason})
        return created

    def _remove_what_is_gone(
        self,
        namespace: str,
        wanted: Components,
        deployments: Collection[str],
        services: Collection[str],
        status: dict[str, Any],
    ) -> int:
        """Deployments and autoscalers of removed predictors, and once those are away, their Services."""
        kept = {item["metadata"]["name"] for item in wanted.deployments}
        gone = [name for name in status["deploymentStatus"] if name not in kept]
        for name in gone:
            if name not in deployments:
                del status["deploymentStatus"][name]
                continue
            self._delete(DEPLOYMENT, name, namespace)
            self._delete(AUTOSCALER, name, namespace)
        if gone:
            return len(gone)
        status["serviceStatus"] = dict(wanted.service_status)
        for name in set(services) - set(wanted.service_status):
            self._delete(SERVICE, name, namespace)
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


def _key(kind: Kind, item: Manifest) -> str:
    return kind.path(item["metadata"]["namespace"], item["metadata"]["name"])


def _goes_with_its_namespace(error: ApiError) -> bool:
    causes = error.content.get("details", {}).get("causes", [])
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


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
