"""Who else leads traffic on Kubernetes, and whether they agree with our own VirtualService. Pure.

Callers come through our own VirtualService, so it decides what is in effect. Seldon's own address splits as
the SeldonDeployment says and the operator's VirtualService does; both are kept to the same split, so that no
door leads to another mixture. The operator writes only while all Deployments of a SeldonDeployment are
ready: what it has written is held against ours only then, or a candidate that crash-loops could never be
rolled back, and a model that scales up would seem to have been meddled with.

A first version has everything at Seldon's own address from its beginning, because there is nothing to share
with; at our own host nobody reaches it before it has its share.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from releases.adapters import seldon_objects as seldon
from releases.adapters.kubernetes_difference import differences
from releases.adapters.seldon_objects import Manifest
from releases.domain.routing import Arm, RouteSetting
from releases.ports import Refused

Read = Mapping[str, Any]
AVAILABLE = "Available"


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around our own VirtualService: the SeldonDeployment, what the operator made of it, and its
    Deployments by name."""

    seldon_deployment: Read | None
    of_operator: Read | None
    deployments: Mapping[str, Read]

    @property
    def is_settled(self) -> bool:
        """Whether the operator keeps its VirtualService up to date: all Deployments are there and ready, and
        it has noticed. It says so after it has written."""
        status = (self.seldon_deployment or {}).get("status") or {}
        if self.seldon_deployment is None or status.get("state") != AVAILABLE:
            return False
        model = seldon.name(self.seldon_deployment)
        names = (str(one["name"]) for one in seldon.predictors(self.seldon_deployment))
        return all(_is_ready(self.deployments.get(seldon.workload_name(model, name))) for name in names)


def _is_ready(deployment: Read | None) -> bool:
    told = (deployment or {}).get("status") or {}
    return bool(told.get("readyReplicas")) and not told.get("unavailableReplicas")


# ---- the SeldonDeployment ------------------------------------------------------------------------
def with_split(present: Manifest | None, setting: RouteSetting, namespace: str) -> Manifest | None:
    """The SeldonDeployment with this split: traffic and roles change, nothing that would restart a pod does.

    `Refused` when it has no predictor for one of the arms."""
    if not _arms(setting):
        return present
    if present is None:
        raise Refused("there is no SeldonDeployment: it was deleted, or no version has been deployed yet")
    for arm in _arms(setting):
        if seldon.arm(present, arm.ref, namespace) != arm:
            raise Refused(f"the SeldonDeployment has no predictor for {arm.ref} at {arm.address}")
    wanted = copy.deepcopy(present)
    shares = _traffic(setting, wanted)
    for predictor in seldon.predictors(wanted):
        predictor["traffic"] = shares[predictor["name"]]
    stable, candidate = _roles(setting)
    annotations = {**seldon.annotation(wanted), seldon.STABLE: stable, seldon.CANDIDATE: candidate}
    wanted["metadata"]["annotations"] = annotations
    return wanted


def _traffic(setting: RouteSetting, seldon_deployment: Read) -> dict[str, int]:
    """Predictor -> its share. Several have to have 100 together, and a single one has everything."""
    shares = _shares(setting)
    found = seldon.predictors(seldon_deployment)
    if len(found) == 1:
        return {found[0]["name"]: 100}
    return {one["name"]: shares.get(seldon.ref(one), 0) for one in found}


def _shares(setting: RouteSetting) -> dict[str, int]:
    """Ref -> its share at Seldon's own address."""
    stable, candidate, share = setting.stable, setting.candidate, setting.split.candidate
    if stable is None:
        return {candidate.ref: 100} if candidate else {}
    return {stable.ref: 100 - share, **({candidate.ref: share} if candidate else {})}


def _roles(setting: RouteSetting) -> tuple[str, str]:
    stable, candidate = setting.stable, setting.candidate
    return stable.ref if stable else "", candidate.ref if candidate else ""


def _arms(setting: RouteSetting) -> Sequence[Arm]:
    return [arm for arm in (setting.stable, setting.candidate) if arm]


# ---- doubts --------------------------------------------------------------------------------------
def doubt(setting: RouteSetting, wanted: Read, found: Read, around: Around, namespace: str) -> str:
    """Why the setting that our VirtualService amounts to is not wholly in effect; empty when it is.

    `wanted` is our VirtualService as the portal writes this setting, `found` as it is."""
    if changed := next(differences(wanted["spec"], found.get("spec") or {}), ""):
        return f"the VirtualService {seldon.name(found)} is not as the portal writes it: {changed}"
    present = around.seldon_deployment
    try:
        split = with_split(None if present is None else seldon.ours(present), setting, namespace)
    except Refused as error:
        return str(error)
    if present is None or split is None:
        return ""
    why = _of_seldon(present, split)
    return why or (_of_operator(setting, present, around.of_operator) if around.is_settled else "")


def _of_seldon(present: Read, split: Read) -> str:
    name, parts = seldon.name(present), seldon.predictors(present)
    if seldon.roles(present) != seldon.roles(split):
        return f"the SeldonDeployment {name} names other versions as stable and candidate"
    if len(parts) == 1:
        return ""
    for has, gets in zip(parts, seldon.predictors(split), strict=True):
        if seldon.traffic(has) != seldon.traffic(gets):
            return (
                f"the SeldonDeployment {name} gives {has['name']} {seldon.traffic(has)} %, "
                f"not {seldon.traffic(gets)} %"
            )
    return ""


def _of_operator(setting: RouteSetting, present: Read, of_operator: Read | None) -> str:
    """The operator leaves a weight of 0 out."""
    name = seldon.name(present)
    if of_operator is None:
        return f"the operator has not written a VirtualService for {name} yet"
    shares = _shares(setting)
    if not shares:
        return ""
    wanted = {
        arm.address.rpartition(":")[0]: shares[arm.ref] for arm in _arms(setting) if shares.get(arm.ref)
    }
    found = {host: share for host, share in seldon.weights(of_operator).items() if share}
    if found == wanted:
        return ""
    said = ", ".join(f"{share} % to {host.partition('.')[0]}" for host, share in sorted(found.items()))
    return f"the operator's VirtualService {name} still gives {said or 'nothing to anybody'}"
