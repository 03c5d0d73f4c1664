"""URLs of a tenant's pages, below `/t/<tenant>/`."""

from django.urls import path, register_converter
from django.urls.converters import StringConverter

from releases.web import (
    acts,
    callbacks,
    catalog,
    connections,
    endpoints,
    environments,
    filing,
    overview,
    place_forms,
    releases,
    retrospectives,
    traffic,
    traffic_keys,
)

app_name = "web"


class SemanticConverter(StringConverter):
    """A semantic version; nothing else reaches the database."""

    regex = "[0-9A-Za-z.-]{1,128}"


register_converter(SemanticConverter, "semantic")

urlpatterns = [
    path("", overview.index, name="overview"),
    path("releases/", releases.index, name="releases"),
    path("releases/new/", filing.new, name="new-release"),
    path("releases/looking-back/", retrospectives.look, name="retrospective"),
    path("releases/<slug:release_id>/", releases.show, name="release"),
    path("releases/<slug:release_id>/decide/", acts.decide, name="decide"),
    path("releases/<slug:release_id>/callbacks/", callbacks.panel, name="callbacks"),
    path("releases/<slug:release_id>/callbacks/<int:number>/again/", callbacks.resend, name="resend"),
    path("releases/<slug:release_id>/<slug:word>/", acts.act, name="act"),
    path("approvals/", acts.approvals, name="approvals"),
    path("models/", catalog.models, name="models"),
    path("add-model/", catalog.add, name="add-model"),
    path("models/<slug:name>/", catalog.model, name="model"),
    path("models/<slug:name>/<semantic:text>/", catalog.version, name="version"),
    path("models/<slug:name>/<semantic:text>/compose/", catalog.compose, name="compose"),
    path("endpoints/", endpoints.index, name="endpoints"),
    path("endpoints/<slug:environment>/<slug:model>/back/", endpoints.go_back, name="back"),
    path("endpoints/<slug:environment>/<slug:model>/lift/", endpoints.lift, name="lift"),
    path("traffic/", traffic.index, name="traffic"),
    path("traffic/<slug:environment>/change/", traffic.change, name="change-traffic"),
    path("traffic/<slug:service>/remove/", traffic.remove, name="remove-service"),
    path("add-service/", traffic.add, name="add-service"),
    path("environments/", environments.index, name="environments"),
    path("add-environment/", environments.add, name="add-environment"),
    path("environments/<slug:name>/", environments.show, name="environment"),
    path("environments/<slug:name>/test/", environments.examine, name="test-connection"),
    path("environments/<slug:name>/policy/", environments.policy, name="environment-policy"),
    path("environments/<slug:name>/connection/", connections.connection, name="environment-connection"),
    path("environments/<slug:name>/disconnect/", connections.disconnect, name="environment-disconnect"),
    path("environments/<slug:name>/autoscaling/", place_forms.autoscaling, name="environment-autoscaling"),
    path("environments/<slug:name>/network/", place_forms.network, name="environment-network"),
    path("traffic/keys/", traffic_keys.make, name="make-traffic-key"),
    path("traffic/keys/<int:sequence>/retire/", traffic_keys.retire, name="retire-traffic-key"),
]
