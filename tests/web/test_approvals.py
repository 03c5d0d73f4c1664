"""The inbox and the decision."""

from releases.models import Approval, Release
from tests.web.conftest import Login, Scene

INBOX = "/t/acme/approvals/"


def decide(release: Release) -> str:
    return f"/t/acme/releases/{release.pk}/decide/"


def test_it_lists_what_waits_with_its_evidence(scene: Scene, login: Login) -> None:
    page = login("ben").get(INBOX).content.decode()
    assert "1 approval waits for you" in page
    assert "1 check passed" in page
    assert f'action="{decide(scene.waiting)}"' in page
    assert f"/releases/{scene.canary.pk}/" not in page


def test_it_approves_in_place(scene: Scene, login: Login) -> None:
    answer = login("ben").post(
        decide(scene.waiting),
        {"decision": "approve", "comment": "fine", "from": "inbox", "row_version": scene.waiting.row_version},
    )
    assert (answer.status_code, answer["Location"]) == (302, INBOX)
    given = Approval.objects.get(release=scene.waiting)
    assert (given.approved, given.by_name, given.comment) == (True, "ben", "fine")


def test_it_wants_to_know_why_when_rejecting(scene: Scene, login: Login) -> None:
    answer = login("ben").post(decide(scene.waiting), {"decision": "reject", "comment": "", "from": "inbox"})
    assert answer.status_code == 422
    assert "Say why, so that the requester can act on it." in answer.content.decode()
    assert not Approval.objects.exists()


def test_it_refuses_a_decision_on_what_has_changed_and_keeps_the_comment(scene: Scene, login: Login) -> None:
    Release.objects.filter(pk=scene.waiting.pk).update(row_version=9)
    answer = login("ben").post(
        decide(scene.waiting),
        {"decision": "approve", "comment": "looked at it", "row_version": "1", "from": "release"},
    )
    assert answer.status_code == 409
    assert "has changed since you looked at it" in answer.content.decode()
    assert "looked at it</textarea>" in answer.content.decode()
    assert not Approval.objects.exists()


def test_it_does_not_let_the_requester_decide(scene: Scene, login: Login) -> None:
    Release.objects.filter(pk=scene.waiting.pk).update(requested_by_identity=f"user:{scene.cast.ben.pk}")
    page = login("ben").get(INBOX).content.decode()
    assert "Nothing waits for you" in page
    assert "You filed it. Somebody else has to decide." in page
    assert login("ben").post(decide(scene.waiting), {"decision": "approve"}).status_code == 403


def test_it_remembers_what_one_decided(scene: Scene, login: Login) -> None:
    client = login("ben")
    client.post(decide(scene.waiting), {"decision": "reject", "comment": "too early"})
    page = client.get(INBOX).content.decode()
    assert "Decided by you" in page
    assert "too early" in page


def test_it_says_so_when_nothing_waits(scene: Scene, login: Login) -> None:
    Release.objects.filter(pk=scene.waiting.pk).update(phase="cancelled")
    assert "Nothing waits for you" in login("ben").get(INBOX).content.decode()
