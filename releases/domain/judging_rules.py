"""The one place where a rollout plan becomes what the judge is asked.

Pure. The plan does not know the judge, nor the judge the plan; this is all they share.
"""

from releases.domain.judge import JudgeRules
from releases.domain.plan import RolloutPlan


def judge_rules(
    plan: RolloutPlan, *, has_stable: bool = True, prediction_names: tuple[str, ...] = ()
) -> JudgeRules:
    """The judge's rules out of a plan; `has_stable` is False where there is nothing to compare with."""
    rules = plan.rules
    return JudgeRules(
        error_rate_max=rules.error_rate_max,
        latency_p95_max_ms=rules.latency_p95_max_ms,
        compare_errors=rules.compare_errors,
        compare_latency=rules.compare_latency,
        compare_predictions=rules.compare_predictions,
        margin_errors=rules.margin_errors,
        margin_latency=rules.margin_latency,
        alpha=plan.alpha,
        beta=plan.beta,
        warm_up_seconds=rules.warm_up_seconds,
        has_stable=has_stable,
        prediction_names=prediction_names,
    )
