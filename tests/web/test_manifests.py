"""The manifests on a release's page: what changes, line by line, and the whole."""

from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from releases.domain.release import Phase
from releases.models import Release, ReleaseManifest
from releases.services.queries.manifests import difference
from tests import factories
from tests.web.conftest import Login, Scene
from tests.web.test_release_page import show, url

BEFORE = "kind: SeldonDeployment\nspec:\n  predictors:\n  - name: v1-0-0\n    traffic: 100\n"
AFTER = BEFORE + "  - name: v1-1-0\n    traffic: 0\n"
ENDED = AFTER.replace("traffic: 100", "traffic: 0").removesuffix("0\n") + "100\n"


def keep(release: Release, **changes: object) -> ReleaseManifest:
    defaults = {"before": BEFORE, "after": AFTER, "at": timezone.now()}
    return ReleaseManifest.objects.create(tenant=release.tenant, release=release, **{**defaults, **changes})


def plain(page: str) -> str:
    return page.partition('id="release-manifests"')[2].partition("</section>")[0]


def test_it_shows_an_approver_what_would_change_and_that_nothing_is_applied_yet(
    scene: Scene, login: Login
) -> None:
    keep(scene.waiting)
    panel = plain(show(login("ben"), scene.waiting))
    assert "Nothing has been applied yet." in panel
    assert '<span class="add" data-mark="+"><span class="sr">added: </span>  - name: v1-1-0</span>' in panel
    assert '<span class="" data-mark=" ">    traffic: 100</span>' in panel
    assert "2 lines added, 0 removed" in panel
    assert "The whole, 7 lines" in panel


def test_it_shows_what_was_applied_and_how_the_release_left_it(scene: Scene, login: Login) -> None:
    now = timezone.now()
    keep(scene.ended, applied_at=now, ended=ENDED, ended_at=now)
    panel = plain(show(login("ada"), scene.ended))
    assert "until after its end" in panel
    assert '<span class="add" data-mark="+"><span class="sr">added: </span>    traffic: 0</span>' in panel
    assert "What was applied at" in panel


def test_it_says_when_nothing_differs_and_hides_what_is_not_there(scene: Scene, login: Login) -> None:
    assert "hidden" in plain(show(login("ada"), scene.canary))
    keep(scene.canary, after=BEFORE)
    assert "No line differs." in plain(show(login("ada"), scene.canary))


def test_it_brings_manifests_that_are_new_to_an_open_page(scene: Scene, login: Login) -> None:
    client = login("ada")
    seen = f"{Phase.AWAITING_APPROVAL}-0-0-0-0"
    answer = client.get(url(scene.waiting), {"seen": seen}, headers={"hx-request": "true"})
    assert "release-manifests" not in answer.content.decode()
    keep(scene.waiting)
    answer = client.get(url(scene.waiting), {"seen": seen}, headers={"hx-request": "true"})
    assert "v1-1-0" in plain(answer.content.decode())


def test_it_escapes_what_is_in_a_manifest(scene: Scene, login: Login) -> None:
    keep(scene.canary, after="<script>alert(1)</script>\n")
    assert "<script>alert" not in show(login("ada"), scene.canary)


def test_it_names_the_field_of_each_problem_of_the_preflight(scene: Scene, login: Login) -> None:
    problems = [{"field": "spec.predictors[1].name", "message": "is longer than 63 characters"}]
    factories.check(scene.waiting, "preflight", "fail", detail={"problems": problems}, reason="long")
    page = show(login("ben"), scene.waiting)
    assert "<code>spec.predictors[1].name</code> is longer than 63 characters" in page
    assert "1 problem<" in page


def test_it_shows_no_stranger_the_manifests(scene: Scene, login: Login) -> None:
    keep(scene.canary)
    assert login("mallory").get(url(scene.canary)).status_code == 404


TEXTS = st.lists(st.sampled_from(["a", "b", "c: 1", "  d", ""]), max_size=30).map("\n".join)


@given(TEXTS, TEXTS)
def test_difference_of_any_two_texts_leads_from_one_to_the_other(before: str, after: str) -> None:
    found = difference(before, after)
    assert found.added - found.removed == len(after.splitlines()) - len(before.splitlines())
    assert bool(found.lines) == (before.splitlines() != after.splitlines())
    shown = [line.text for line in found.lines if line.kind in ("", "add")]
    left = iter(after.splitlines())
    assert all(text in left for text in shown)  # in order
    counted = sum(line.kind in ("", "del") for line in found.lines)
    hidden = sum(int(line.text.split()[1]) for line in found.lines if line.kind == "at")
    assert not found.lines or counted + hidden == len(before.splitlines())
