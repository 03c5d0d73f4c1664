"""The whole record of a release as one document that can be verified without this portal.

The history is hash-chained line by line; `seal` continues the chain over everything else in the document,
so that no part can be exchanged unseen. The same record gives the same seal, whenever it is exported.
How to verify: `chain.algorithm` says how each hash is made and over what.
"""

from datetime import datetime
from typing import Any

from releases.models import Release, ReleaseManifest
from releases.services import document, history
from tenants.audit import GENESIS, chain_hash

FORMAT = "mlops-portal-evidence/1"
ALGORITHM = (
    "SHA-256 in hex over the previous hash, as text, followed by the RFC 8785 canonical JSON of the content. "
    "Content of a line of history: its `content`. Content of the seal: the member `record`; the previous "
    "hash is that of the last line."
)


def export(release: Release, *, at: datetime) -> dict[str, Any]:
    """The document; `chain.whole` tells whether the stored history still fits its hashes."""
    lines = list(release.transitions.order_by("sequence"))
    described = document.of_release(release)
    record = {
        "release": {name: value for name, value in described.items() if name not in ("url", "_links")},
        "requested_by_identity": release.requested_by_identity,
        "note": release.note,
        "kind": release.kind,
        "plan_digest": release.plan_digest,
        "self_test": release.self_test or None,
        "version": _version(release),
        "checks": [document.of_check(check) for check in release.checks.order_by("id")],
        "manifests": document.of_manifest(ReleaseManifest.objects.filter(release=release).first()),
        "approvals": [
            {**document.of_approval(approval, release), "by_identity": approval.by_identity}
            for approval in release.approvals.order_by("id")
        ],
        "holds": [document.of_hold(hold) for hold in release.holds.select_related("version").order_by("id")],
        "transitions": [
            {"content": history.content(line), "previous_hash": line.previous_hash, "hash": line.hash}
            for line in lines
        ],
        "samples": [
            document.of_sample(sample) for sample in release.samples.order_by("at", "arm").iterator()
        ],
    }
    last = lines[-1].hash if lines else GENESIS
    return {
        "format": FORMAT,
        "exported_at": document.moment(at),
        "record": record,
        "chain": {
            "algorithm": ALGORITHM,
            "genesis": GENESIS,
            "last": last,
            "whole": history.is_whole(lines),
            "seal": chain_hash(last, record),
        },
    }


def _version(release: Release) -> dict[str, Any]:
    """Which artifact this was about: what the registry calls it, and its digest."""
    version = release.version
    return {
        "model": release.endpoint.model.name,
        "registry_name": release.endpoint.model.registry_name,
        "registry_version": version.registry_version,
        "version": version.version,
        "run_id": version.run_id,
        "source": version.source,
        "digest": version.digest or None,
        "size_bytes": version.size_bytes,
        "signature": version.signature,
        "metrics": version.metrics,
        "registered_at": document.moment(version.registered_at),
    }
