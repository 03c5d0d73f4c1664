"""Callbacks and statuses of commits: in order, for a day, again when asked, and fair among tenants."""

import json
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from releases import tasks
from releases.adapters.notifier.webhook import WebhookConfig, WebhookNotifier
from releases.domain.errors import Conflict, Forbidden, Invalid, NotFound
from releases.domain.release import Phase
from releases.models import Channel, Delivery, DeliveryState, Environment, RegisteredModel, Release
from releases.ports import CommitStatus, Message, Refused, Unreachable
from releases.services import commands, notifications
from releases.services.lanes import Lanes
from releases.services.reconcile import now
from tenants.access import NotAllowed
from tenants.models import Tenant
from tests import factories
from tests.adapters.engines import receiver
from tests.fakes import FakeWorld
from tests.services.rig import START

URL = "https://ci.example/hook"
SHA = "0123456789" * 4

pytestmark = pytest.mark.django_db


@dataclass
class Scene:
    """Two tenants whose releases tell of themselves; `at` is turned by hand."""

    world: FakeWorld = field(default_factory=FakeWorld)
    at: datetime = START

    def __post_init__(self) -> None:
        self.cast = factories.cast()

    def clock(self) -> datetime:
        return self.at

    def release(
        self, of: Tenant | None = None, name: str = "wine", url: str = URL, **changes: Any
    ) -> Release:
        """A filed release; its first callback is due."""
        tenant = of or self.cast.acme
        place = Environment.objects.filter(tenant=tenant).first() or factories.environment(tenant)
        model = RegisteredModel.objects.filter(tenant=tenant, name=name).first() or factories.model(
            tenant, name
        )
        at = factories.endpoint(place, model)
        given = {"callback_url": url, "at": self.at, **changes}
        return factories.release(at, factories.version(model), Phase.VALIDATING, **given)

    def walk(self, release: Release, *phases: Phase) -> None:
        factories.walk(release, [(phase, self.at, f"because of {phase}") for phase in phases])

    def turn(self, seconds: float = 0) -> int:
        """Beat calls, and every lane works."""
        self.at += timedelta(seconds=seconds)
        lanes = notifications.due(self.at).values()
        return sum(notifications.deliver(lane, self.world.ports, self.clock) for lane in lanes)

    @property
    def sent(self) -> list[Message]:
        return self.world.notifier.sent

    @property
    def statuses(self) -> list[CommitStatus]:
        return self.world.statuses.kept


def body(message: Message) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(message.body)
    return content


@pytest.fixture
def scene(settings: Settings) -> Scene:
    settings.GITHUB_TOKEN = "ghp_x"
    settings.GITHUB_STATUS_REPOSITORIES = "acme=acme/*"
    return Scene()


def test_phases_are_told_in_order_one_after_the_other(scene: Scene) -> None:
    release = scene.release()
    scene.walk(release, Phase.DEPLOYING, Phase.SMOKE_TESTING)
    for _ in range(4):
        scene.turn(2)
    assert [body(one)["release"]["phase"] for one in scene.sent] == [
        "validating",
        "deploying",
        "smoke_testing",
    ]
    assert [one.delivery for one in scene.sent] == [f"{release.pk}-{number}" for number in (1, 2, 3)]
    assert {one.url for one in scene.sent} == {URL}
    assert body(scene.sent[1])["release"]["reason"] == "because of deploying"
    assert body(scene.sent[0])["release"]["commit"] is None


def test_later_phase_waits_for_the_one_that_is_not_heard_yet(scene: Scene) -> None:
    scene.walk(scene.release(), Phase.DEPLOYING)
    scene.world.notifier.failures = [Unreachable("answers 503")] * 2
    assert [scene.turn(seconds) for seconds in (0, 1, 1, 3, 1, 2)] == [0, 0, 0, 0, 1, 1]
    assert [body(one)["release"]["phase"] for one in scene.sent] == ["validating", "deploying"]


def test_receiver_that_asks_for_time_gets_it(scene: Scene) -> None:
    scene.release()
    scene.world.notifier.failures = [Unreachable("answers 429", retry_after=600)]
    assert [scene.turn(seconds) for seconds in (0, 598, 3)] == [0, 0, 1]


def test_receiver_that_is_dead_is_tried_for_a_day_then_the_next_has_its_turn(scene: Scene) -> None:
    scene.walk(scene.release(), Phase.DEPLOYING)
    scene.world.notifier.reachable = False
    scene.turn()
    for _ in range(49):
        scene.turn(1800)
    first, second = Delivery.objects.all()
    assert (first.state, second.state) == (DeliveryState.GAVE_UP, DeliveryState.WAITING)
    assert first.last_error == f"no answer from {URL}"
    assert first.attempts > 40
    scene.world.notifier.reachable = True
    assert scene.turn(1800) == 1
    assert body(scene.sent[0])["release"]["phase"] == "deploying"


def test_receiver_that_says_no_is_not_asked_again_and_the_next_has_its_turn(scene: Scene) -> None:
    scene.walk(scene.release(), Phase.DEPLOYING)
    scene.world.notifier.failures = [Refused("answers 404")]
    assert [scene.turn(2) for _ in range(3)] == [0, 1, 0]
    assert [row.state for row in Delivery.objects.all()] == ["gave_up", "delivered"]


def test_given_up_one_that_is_sent_again_goes_before_those_that_wait_and_repeats_none(scene: Scene) -> None:
    release = scene.release()
    scene.walk(release, Phase.DEPLOYING)
    scene.world.notifier.failures = [Refused("answers 404")]
    assert [scene.turn(2) for _ in range(2)] == [0, 1]
    scene.walk(release, Phase.SMOKE_TESTING)
    first = Delivery.objects.earliest("pk")
    scene.at += timedelta(days=3)
    ada = scene.cast.actor(scene.cast.ada)
    commands.resend(ada, release.pk, first.pk, at=scene.at)
    scene.world.notifier.failures = [Unreachable("answers 503")]  # it has another day, not one last try
    assert [scene.turn(seconds) for seconds in (0, 1, 2, 2)] == [0, 0, 1, 1]
    told = [body(one)["release"]["phase"] for one in scene.sent]
    assert told == ["deploying", "validating", "smoke_testing"]
    event = scene.cast.acme.audit_events.get(action="delivery.resent")
    assert (event.actor, event.subject) == ("ada", release.pk)
    assert event.detail["last_error"] == "answers 404"


def test_waiting_one_that_is_sent_again_does_not_wait_for_its_next_attempt(scene: Scene) -> None:
    release = scene.release()
    scene.world.notifier.failures = [Unreachable("answers 503", retry_after=3600)]
    assert scene.turn() == 0
    commands.resend(scene.cast.actor(scene.cast.ada), release.pk, Delivery.objects.get().pk, at=scene.at)
    assert scene.turn() == 1


def test_heard_one_is_not_sent_again(scene: Scene) -> None:
    release = scene.release()
    scene.turn()
    with pytest.raises(Conflict, match="heard this already"):
        commands.resend(scene.cast.actor(scene.cast.ada), release.pk, Delivery.objects.get().pk, at=scene.at)


def test_sending_again_is_for_operators_of_the_tenant(scene: Scene) -> None:
    release, other = scene.release(), scene.release(name="cider")
    number = Delivery.objects.get(release=release).pk
    cast = scene.cast
    for user, refusal in ((cast.cleo, NotAllowed), (cast.ben, NotAllowed), (cast.mallory, NotFound)):
        with pytest.raises((refusal, Forbidden) if refusal is NotAllowed else refusal):
            commands.resend(cast.actor(user), release.pk, number, at=scene.at)
    with pytest.raises(NotFound):
        commands.resend(cast.actor(cast.ada), other.pk, number, at=scene.at)


def test_claimed_one_is_sent_by_nobody_else_until_its_claim_is_over(scene: Scene) -> None:
    scene.release()
    [lane] = notifications.due(scene.at).values()

    def die(message: Message) -> None:
        raise KeyboardInterrupt

    dying = FakeWorld()
    dying.notifier.send = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        notifications.deliver(lane, dying.ports, scene.clock)
    assert notifications.deliver(lane, scene.world.ports, scene.clock) == 0
    assert [scene.turn(seconds) for seconds in (59, 2)] == [0, 1]


def test_one_of_two_workers_sends_it(scene: Scene) -> None:
    scene.release()
    [lane] = notifications.due(scene.at).values()
    assert [notifications.deliver(lane, scene.world.ports, scene.clock) for _ in range(2)] == [1, 0]
    assert len(scene.sent) == 1


def test_silent_receiver_costs_its_tenant_one_wait_a_turn_and_others_nothing(scene: Scene) -> None:
    for number in range(12):
        scene.release(name=f"slow-{number}", url="https://slow.example/hook")
    scene.release(name="quick", url="https://quick.example/hook")
    scene.release(scene.cast.globex, url="https://globex.example/hook")
    asked: list[str] = []

    def send(message: Message) -> None:
        asked.append(message.url.split("/")[2])
        if "slow" in message.url:
            scene.at += timedelta(seconds=5)
            raise Unreachable("no answer")

    scene.world.notifier.send = send  # type: ignore[method-assign]
    lanes = notifications.due(scene.at)
    of_globex = [lane for lane in lanes if str(scene.cast.globex.pk) in lane.partition(",")[0]]
    assert [len(lanes[lane]) for lane in of_globex] == [1]
    for lane in lanes.values():
        notifications.deliver(lane, scene.world.ports, scene.clock)
    assert sorted(asked) == ["globex.example", "quick.example", "slow.example"]


def test_turn_of_a_lane_is_over_after_ten_seconds(scene: Scene) -> None:
    for number in range(20):
        scene.release(name=f"w-{number}")

    def send(message: Message) -> None:
        scene.at += timedelta(seconds=4)

    scene.world.notifier.send = send  # type: ignore[method-assign]
    assert scene.turn() == 3


@pytest.mark.django_db(transaction=True)
def test_receivers_that_hang_hold_up_neither_the_task_nor_other_tenants(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = WebhookNotifier(WebhookConfig(allow_private=True, seconds=1.5))
    ports = replace(scene.world.ports, notifier=notifier)
    lanes = Lanes()
    monkeypatch.setattr(tasks, "ports", lambda place: ports)
    monkeypatch.setattr(tasks, "receivers", lanes)
    scene.at = now()
    with receiver() as hanging, receiver() as quick:
        hanging.delay = 1.4
        for number in range(6):
            scene.release(name=f"slow-{number}", url=hanging.url)
        ours = scene.release(scene.cast.globex, url=quick.url)
        began = time.monotonic()
        tasks.notify()
        took = time.monotonic() - began
        while not Delivery.objects.filter(release=ours, delivered_at__isnull=False).exists():
            assert time.monotonic() - began < 1.2, "a tenant waits for another's receiver"
            time.sleep(0.02)
        assert took < 0.5
        Delivery.objects.exclude(release=ours).update(gave_up_at=scene.at)
        assert lanes._pool is not None
        lanes._pool.shutdown()


def test_commit_is_told_each_phase_beside_the_callbacks(scene: Scene) -> None:
    release = scene.release(commit_repository="acme/models", commit_sha=SHA)
    scene.world.notifier.failures = [Refused("answers 404")] * 9
    scene.walk(release, Phase.DEPLOYING, Phase.ROLLED_BACK)
    for _ in range(3):
        scene.turn(2)
    assert [status.state for status in scene.statuses] == ["pending", "pending", "failure"]
    first = scene.statuses[0]
    assert (first.repository, first.sha) == ("acme/models", SHA)
    assert first.context == "mlops-portal/production/wine"
    assert first.description == "validating: filed by ci-wine"
    assert first.target_url.endswith(f"/t/acme/releases/{release.pk}/")
    channels = Delivery.objects.filter(release=release).values_list("channel", flat=True)
    assert sorted(channels) == [Channel.CALLBACK] * 3 + [Channel.COMMIT_STATUS] * 3


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Phase.AWAITING_APPROVAL, "pending"),
        (Phase.CANARY, "pending"),
        (Phase.ROLLING_BACK, "pending"),
        (Phase.SUCCEEDED, "success"),
        (Phase.ROLLED_BACK, "failure"),
        (Phase.REJECTED, "failure"),
        (Phase.CANCELLED, "error"),
    ],
)
def test_state_of_the_commit_follows_the_phase_in_140_characters(
    scene: Scene, phase: Phase, state: str
) -> None:
    release = scene.release(url="", commit_repository="acme/models", commit_sha=SHA)
    factories.walk(release, [(phase, scene.at, "x" * 300)])
    for _ in range(2):
        scene.turn(2)
    assert scene.statuses[-1].state == state
    assert len(scene.statuses[-1].description) == 140
    assert scene.statuses[-1].description.endswith("…")


def test_repository_that_was_taken_from_the_tenant_gets_no_more_statuses(
    scene: Scene, settings: Settings
) -> None:
    scene.release(url="", commit_repository="acme/models", commit_sha=SHA)
    settings.GITHUB_STATUS_REPOSITORIES = ""
    assert scene.turn() == 0
    row = Delivery.objects.get()
    assert row.state == DeliveryState.GAVE_UP
    assert "acme may not set statuses in acme/models" in row.last_error
    assert scene.statuses == []


def file(scene: Scene, commit: dict[str, str] | None, key: str | None = None) -> tuple[Release, bool]:
    model = RegisteredModel.objects.filter(name="wine").first()
    if model is None:
        factories.environment(scene.cast.acme)
        factories.version(factories.model(scene.cast.acme))
    return commands.file_release(
        scene.cast.actor(scene.cast.ada),
        model="wine",
        version="1.0.0",
        environment="production",
        commit=commit,
        idempotency_key=key,
        at=scene.at,
    )


def test_filing_with_a_commit_keeps_it_and_makes_it_part_of_the_content(scene: Scene) -> None:
    commit = {"repository": "Acme/Models", "sha": SHA.replace("0", "A")}
    release, is_new = file(scene, commit, "k")
    assert (release.commit_repository, release.commit_sha) == ("Acme/Models", SHA.replace("0", "a"))
    assert is_new
    assert file(scene, commit, "k") == (release, False)
    with pytest.raises(Invalid, match="another content"):
        file(scene, {**commit, "sha": SHA}, "k")
    with pytest.raises(Invalid, match="another content"):
        file(scene, None, "k")


@pytest.mark.parametrize(
    ("token", "repositories", "commit", "field"),
    [
        ("", "acme=acme/*", {"repository": "acme/models", "sha": SHA}, "commit.repository"),
        ("t", "", {"repository": "acme/models", "sha": SHA}, "commit.repository"),
        ("t", "globex=acme/*", {"repository": "acme/models", "sha": SHA}, "commit.repository"),
        ("t", "acme=acme/*", {"repository": "globex/models", "sha": SHA}, "commit.repository"),
        ("t", "acme=acme/*", {"repository": "acme/..", "sha": SHA}, "commit.repository"),
        ("t", "acme=acme/*", {"repository": "acme/models", "sha": SHA[:39]}, "commit.sha"),
    ],
)
def test_filing_with_a_commit_that_may_not_be_told_names_the_field(
    scene: Scene, settings: Settings, token: str, repositories: str, commit: dict[str, str], field: str
) -> None:
    settings.GITHUB_TOKEN, settings.GITHUB_STATUS_REPOSITORIES = token, repositories
    with pytest.raises(Invalid) as caught:
        file(scene, commit)
    assert list(caught.value.fields) == [field]
    assert not Release.objects.exists()
