"""The time series of a release, as charts and figures read them."""

import numpy as np
from django.db.models import Max

from releases.domain.judge import ERRORS_VS_STABLE, PREDICTIONS_VS_STABLE
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


def test_series_has_the_evidence_of_each_comparison_that_is_on(rig: Rig) -> None:
    rig.serve(rig.register())
    release = rig.run(rig.file(rig.register()), "succeeded")
    rows = Sample.objects.filter(release=release, arm="candidate")
    by_rule = series_of(release.pk).candidate.by_rule
    highest = rows.aggregate(Max("errors_evidence"))["errors_evidence__max"]
    assert np.nanmax(by_rule[ERRORS_VS_STABLE]) == highest > 0
    assert np.isnan(by_rule[PREDICTIONS_VS_STABLE]).all()  # none are counted
    assert not Sample.objects.filter(release=release, arm="stable").exclude(errors_evidence=None).exists()


def test_series_adds_up_predictions_of_each_arm(rig: Rig) -> None:
    release = rig.run(rig.file(rig.register()), "succeeded")
    Sample.objects.filter(release=release).update(prediction_counts=[2, 0, 1])
    found = series_of(release.pk).candidate.predictions
    assert found.tolist() == [2.0 * len(release.samples.all()), 0.0, 1.0 * len(release.samples.all())]
