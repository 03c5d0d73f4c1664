"""Examples of the API's description: what one would send, and what a refusal looks like. The tests hold each
against its schema, and schemathesis sends them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

RELEASE: dict[str, Any] = {
    "model": "wine",
    "version": "1.4.0",
    "environment": "production",
    "plan": {
        "steps": [{"weight": 10, "hold_seconds": 300}],
        "rules": {"error_rate_max": 0.01},
    },
    "note": "trained on the harvest of July",
    "callback_url": "https://ci.example.com/hooks/portal",
}
PROBLEM: dict[str, Any] = {
    "type": "urn:mlops-portal:problem:release_active",
    "title": "Conflict",
    "status": 409,
    "detail": "1.3.2 is being released to production (canary); wait for its end or abort it.",
    "code": "release_active",
    "errors": {},
    "state": {"release": "01JD8M3Q2N9V5T7X4B6C1A0ZEH", "phase": "canary", "version": "1.3.2"},
}
MAPPING: dict[str, Any] = {
    "rules": [{"tier": "premium", "model": "wine-large"}, {"tier": None, "model": "wine"}]
}


def example(value: Any, name: str = "Example", **options: Any) -> Any:
    """Decorate a form or an answer with an example of it."""
    return extend_schema_serializer(examples=[OpenApiExample(name, value=value, **options)])
