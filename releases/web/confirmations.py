"""The words of confirmations: what an act means for this very release, and what is asked before it."""

from dataclasses import dataclass

from django.urls import reverse

from releases.domain.release import BEFORE_TRAFFIC, Act
from releases.models import Release
from tenants.access import Actor
from tenants.roles import Capability


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The words of one confirmation, where its form goes, and what is said when it was done."""

    act: str
    title: str
    text: str
    hint: str
    do: str
    css: str
    url: str
    done: str = ""


def confirmation(release: Release, act: Act) -> Confirmation:
    """What an act means for this release."""
    is_withdrawal = act is Act.ABORT and release.phase in BEFORE_TRAFFIC
    key = "withdraw" if is_withdrawal else act.value
    title, text, hint, do, css, done = _WORDS[key]
    stable = release.stable.version if release.stable else None
    given = {
        "model": release.endpoint.model.name,
        "version": release.version.version,
        "place": release.endpoint.environment.name,
        "split": f"{100 - release.split_candidate} / {release.split_candidate}",
        "to_stable": f" to {stable}" if stable else "",
        "first": f"All traffic goes back to {stable} first" if stable else "No version serves afterwards",
    }
    return Confirmation(
        act=act.value,
        title=title.format(**given),
        text=text.format(**given),
        hint=hint,
        do=do.format(**given),
        css=css,
        url=reverse("web:act", args=[release.tenant.slug, release.pk, act.value]),
        done=done,
    )


def confirmations(actor: Actor, release: Release) -> list[Confirmation]:
    """The dialogs that this person may need while looking at the release."""
    if actor.may(Capability.OPERATE):
        return [confirmation(release, act) for act in Act]
    if actor.identity == release.requested_by_identity:
        return [confirmation(release, Act.ABORT)]
    return []


# title, text, hint, button, its look, what is said afterwards
_WORDS = {
    "pause": (
        "Pause the canary of {model} {version}?",
        "The split stays at {split} and the hold stands still. "
        "The judge keeps watching and rolls back if it finds harm.",
        "What are you waiting for?",
        "Pause",
        "primary",
        "Pause is asked for.",
    ),
    "resume": (
        "Resume the canary of {model} {version}?",
        "The hold goes on from where it stood, and the release moves by itself again.",
        "What has changed?",
        "Resume",
        "primary",
        "Resuming is asked for.",
    ),
    "promote": (
        "Promote {model} {version} without waiting?",
        "What is left of this step's hold is skipped, and so is the certificate. Harm still rolls back.",
        "Why not wait?",
        "Promote now",
        "danger-solid",
        "Promotion is asked for.",
    ),
    "withdraw": (
        "Withdraw {model} {version}?",
        "It ends as cancelled. No traffic has moved, nothing has to be undone.",
        "Why is it no longer wanted?",
        "Withdraw",
        "danger-solid",
        "Withdrawing is asked for.",
    ),
    "abort": (
        "Abort and roll back{to_stable}?",
        "{first}; then {version} is removed after its grace time and put on hold in {place}.",
        "What did you see?",
        "Roll back{to_stable}",
        "danger-solid",
        "The rollback is asked for.",
    ),
}
