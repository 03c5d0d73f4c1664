"""What a page shows of manifests: those that are applied, whole, with exactly what changes marked."""

from dataclasses import replace

from releases.domain.autoscaling import Autoscaling
from releases.domain.manifests.autoscaling import Scaled, autoscaler
from releases.services.queries.place_manifests import manifest_diff, marked_yaml

WINE = Scaled("acme", "production", "wine", "1.4.0", "acme-production-wine-v1-4-0-9f3ac1d2", "acme-prod")
MANY = [replace(WINE, model=f"wine-{number}") for number in range(8)]


def test_marked_yaml_of_many_objects_marks_the_changed_line_of_each_and_no_other() -> None:
    before = [autoscaler(one, Autoscaling()) for one in MANY]
    after = [autoscaler(one, Autoscaling(max_replicas=30)) for one in MANY]
    lines = marked_yaml(before, after)
    assert [line.text for line in lines if line.kind == "add"] == ["  maxReplicas: 30"] * 8
    assert [line.text for line in lines if line.kind == "del"] == ["  maxReplicas: 20"] * 8
    assert [line.text for line in lines].count("---") == 7


def test_marked_yaml_of_what_stays_is_the_text_itself() -> None:
    state = [autoscaler(WINE, Autoscaling())]
    lines = marked_yaml(state, state)
    assert {line.kind for line in lines} == {""}
    assert lines[0].text == "apiVersion: autoscaling/v2"


def test_manifest_diff_names_each_object_and_shows_only_what_is_near_a_change() -> None:
    stays, goes, comes, changes = MANY[:4]
    before = [autoscaler(one, Autoscaling()) for one in (stays, goes, changes)]
    after = [autoscaler(one, Autoscaling()) for one in (stays, comes)]
    after.append(autoscaler(changes, Autoscaling(cpu_percent=60, scale_up_pods=2)))
    lines = manifest_diff(before, after)
    headings = [line.text for line in lines if line.kind == "at"]
    assert headings == [
        "horizontalpodautoscaler/portal-wine-1-v1-4-0 in acme-prod, goes",
        "horizontalpodautoscaler/portal-wine-2-v1-4-0 in acme-prod, new",
        "horizontalpodautoscaler/portal-wine-3-v1-4-0 in acme-prod",
        "…",
    ]
    of_the_last = lines[[line.text for line in lines].index(headings[2]) :]
    assert [line.text.strip() for line in of_the_last if line.kind == "add"] == [
        "averageUtilization: 60",
        "value: 2",
    ]
    assert not any("wine-0" in line.text for line in lines)
