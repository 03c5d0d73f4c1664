"""Registers a run's model through the portal and files its release; both once per run of the pipeline.

The portal gives the version, and by the key it knows a release that was filed before. Knows the REST API.
"""

from dataclasses import dataclass

from serving.portal import Portal

DESCRIPTION = "Which of three cultivars a bottle of wine is of."


@dataclass(frozen=True)
class Filed:
    """A release as the portal answered; `is_new` is false when this key had filed it before."""

    version: str
    id: str
    phase: str
    url: str
    is_new: bool


def register(portal: Portal, model: str, run_id: str, artifact_path: str, change: str) -> str:
    """The semantic version of the run's model: the one it has, or the next."""
    return version_of(portal, model, run_id) or portal.register(
        model, run_id, artifact_path, change, DESCRIPTION
    )


def version_of(portal: Portal, model: str, run_id: str) -> str | None:
    """The version under which the run is registered; None when it is not, or the model is not known."""
    place: str | None = f"models/{model}/versions/?limit=200"
    while place:
        answer = portal.call("GET", place)
        if answer.status_code == 404:
            return None
        page = answer.json()
        for row in page["results"]:
            if row["run_id"] == run_id and row["version"]:
                return str(row["version"])
        following = page.get("next")
        place = f"models/{model}/versions/?{following.partition('?')[2]}" if following else None
    return None


def file_release(portal: Portal, model: str, version: str, environment: str, key: str) -> Filed:
    """File the release of a version under a key; the same key again answers the same release.

    Raises `Unreachable` with the portal's sentence, for example when another release is active there."""
    body = {"model": model, "version": version, "environment": environment, "note": f"pipeline run {key}"}
    answer = portal.call("POST", "releases/", body, headers={"Idempotency-Key": key})
    release = answer.json()
    return Filed(version, release["id"], release["phase"], release["url"], answer.status_code == 201)
