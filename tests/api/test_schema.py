"""The OpenAPI document and its page."""

from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
from jsonschema import Draft202012Validator, FormatChecker

from tests.api.conftest import openapi


def test_document_is_valid_without_warnings_and_the_one_in_docs_is_in_step() -> None:
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    committed = (Path(settings.BASE_DIR) / "docs" / "openapi.yaml").read_text()
    assert out.getvalue().rstrip() == committed.rstrip(), "run make openapi"


@pytest.mark.django_db
def test_document_is_served_to_everybody() -> None:
    answer = Client().get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    assert answer.json()["openapi"] == "3.1.1"


def test_document_describes_every_error_as_a_problem() -> None:
    operations = [
        (path, method, operation)
        for path, methods in openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) == 39
    for path, method, operation in operations:
        errors = {code: said for code, said in operation["responses"].items() if code >= "400"}
        assert {"401", "403", "404", "422", "429"} <= set(errors), (path, method)
        for said in errors.values():
            shape = said["content"]["application/problem+json"]["schema"]
            assert shape == {"$ref": "#/components/schemas/Problem"}


def test_document_has_an_example_of_every_body_that_fits_its_schema() -> None:
    bodies = [
        (operation["operationId"], said)
        for methods in openapi()["paths"].values()
        for operation in methods.values()
        for said in operation.get("requestBody", {}).get("content", {}).values()
    ]
    assert len(bodies) == 17
    for name, said in bodies:
        if name not in ("replay_endpoints", "resend_deliveries"):  # a plan, as in the others; nothing
            for example in said["examples"].values():
                shape = {**said["schema"], "components": openapi()["components"]}
                Draft202012Validator(shape, format_checker=FormatChecker()).validate(example["value"])


def test_document_names_the_token_as_the_way_in() -> None:
    schemes = openapi()["components"]["securitySchemes"]
    assert schemes["token"] == {"type": "http", "scheme": "bearer"}


@pytest.mark.django_db
def test_page_has_no_inline_script_or_style_and_all_its_files_exist() -> None:
    page = Client().get("/api/v1/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "<style" not in text
    assert "style=" not in text
    assert text.count("<script") == text.count("<script src=") == 3
    for address in [part.split('"')[0] for part in text.split('="/static/')[1:]]:
        assert finders.find(address), address
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    script = Client().get("/api/v1/docs/?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert "/api/v1/schema/" in script.content.decode()
