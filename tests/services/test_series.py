"""The time series of a release, as charts and figures read them."""

from releases.models import Release, Sample
from releases.services.queries.samples import series_of
from tests.services.rig import Rig


def test_series_without_any_latency_has_counts_and_no_percentiles(rig: Rig) -> None:
    release = rig.run(rig.file(rig.register()), "succeeded")
    Sample.objects.filter(release=release).update(latency_counts=[])
    series = series_of(release.pk)
    assert len(series.candidate.at) > 0
    assert series.candidate.latency.shape == (0, 0)


def test_series_of_a_release_that_was_never_sampled_is_empty(rig: Rig) -> None:
    release = rig.file(rig.register())
    assert Release.objects.get(pk=release.pk).sampled_at is None
    assert series_of(release.pk).is_empty
