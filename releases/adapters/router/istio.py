"""The traffic router on Kubernetes: Istio's gateway, and what Seldon's operator leads itself.

All state is in the cluster; several processes may route at once. Writes our own VirtualServices, and of
SeldonDeployments traffic and roles only, so that nothing it does restarts a pod. Knows nothing of releases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from releases.adapters import seldon_objects as seldon
from releases.adapters.istio_place import IstioPlace
from releases.adapters.kubernetes_api import DEPLOYMENT, VIRTUAL_SERVICE
from releases.adapters.router import istio_resources as resources
from releases.adapters.router.istio_traffic import Around, doubt, with_split
from releases.adapters.seldon_objects import Manifest
from releases.domain.routing import Route, RouteSetting
from releases.ports import Refused


class IstioRouter:
    """Port `TrafficRouter` for one environment."""

    def __init__(self, place: IstioPlace) -> None:
        self._place = place
        self._cluster = place.cluster
        self._seldon_deployments = place.seldon_deployments

    def apply(self, settings: Mapping[Route, RouteSetting]) -> None:
        """Returns when everything is written; it is in effect when `read` says so, a moment later.

        A route that is refused keeps none of the others from being written."""
        for route, setting in settings.items():
            resources.check(route, setting, self._place)
        refusals: list[str] = []
        for route, setting in settings.items():
            try:
                self._apply(route, setting)
            except Refused as error:
                refusals.append(f"{route.name}: {error}")
        if refusals:
            raise Refused("; ".join(refusals))

    def read(self, routes: Iterable[Route]) -> dict[Route, RouteSetting | None]:
        """One list of each kind of object in the namespace, however many routes."""
        wanted = list(routes)
        if not wanted:
            return {}
        namespace, ask = self._place.namespace, self._cluster.list
        virtual_services = {seldon.name(one): one for one in ask(VIRTUAL_SERVICE, namespace)}
        seldon_deployments = {seldon.name(one): one for one in self._seldon_deployments.all()}
        deployments = {seldon.name(one): one for one in ask(DEPLOYMENT, namespace, seldon.SELDON_ID)}
        found: dict[Route, RouteSetting | None] = {}
        for route in wanted:
            name = seldon.seldon_deployment_name(route.model)
            around = Around(seldon_deployments.get(name), virtual_services.get(name), deployments)
            ours = virtual_services.get(seldon.virtual_service_name(route.model))
            found[route] = self._setting(route, ours, around)
        return found

    def remove(self, routes: Iterable[Route]) -> None:
        """Our VirtualServices go; those of others stay, whatever they are called."""
        for route in routes:
            name, namespace = seldon.virtual_service_name(route.model), self._place.namespace
            found = self._cluster.get(VIRTUAL_SERVICE, name, namespace)
            if found is not None and self._is_ours(found):
                self._cluster.delete(VIRTUAL_SERVICE, name, namespace)

    def url(self, route: Route) -> str:
        """Below the gateway's public address."""
        return self._place.gateway_url.rstrip("/") + resources.path_of(route)

    def _apply(self, route: Route, setting: RouteSetting) -> None:
        """Our own VirtualService first: callers come through it, and a rollback has to reach them even when
        the SeldonDeployment cannot be written."""
        namespace = self._place.namespace

        def change(present: Manifest | None) -> Manifest | None:
            return with_split(present, setting, namespace)

        found = self._seldon_deployments.get(route.model)
        change(seldon.ours(found) if found else None)  # no route to where nothing is
        self._write(resources.virtual_service(route, setting, self._place))
        self._seldon_deployments.rewrite(route.model, change)

    def _write(self, wanted: Manifest) -> None:
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        found = self._cluster.get(VIRTUAL_SERVICE, name, namespace)
        if found is not None and not self._is_ours(found):
            raise Refused(
                f"the VirtualService {name} in the namespace {namespace} is not the portal's: its labels do "
                f"not say {seldon.selector(self._place.tenant, self._place.environment)}. Rename or delete it"
            )
        if found is None or found.get("spec") != wanted["spec"]:
            self._cluster.settle(wanted)

    def _setting(self, route: Route, ours: Manifest | None, around: Around) -> RouteSetting | None:
        if ours is None or not self._is_ours(ours):
            return None
        setting = resources.setting_from(route, ours)
        written = resources.virtual_service(route, setting, self._place)
        return replace(setting, doubt=doubt(setting, written, ours, around, self._place.namespace))

    def _is_ours(self, found: Manifest) -> bool:
        return seldon.is_of(found, self._place.tenant, self._place.environment)
