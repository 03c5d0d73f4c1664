"""Messages of MLflow: only ours, only fresh ones, and nothing that is not what MLflow sends."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.webhooks.delivery import _generate_hmac_signature

from releases.adapters.registry.mlflow_messages import NotReadable, NotSigned, Reader, signature
from releases.ports import RegistryNotice

SECRET = "s" * 40
AT = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
STAMP = str(int(AT.timestamp()))
READER = Reader(SECRET, timedelta(seconds=300))
CREATED = {"entity": "model_version", "action": "created", "data": {"name": "acme-wine", "version": "2"}}


def headers(body: bytes, secret: str = SECRET, **changes: str) -> dict[str, str]:
    delivery, stamp = changes.get("delivery", "d-1"), changes.get("timestamp", STAMP)
    return {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": changes.get("signature", signature(secret, delivery, stamp, body)),
    }


def read(content: object, at: datetime = AT, given: Mapping[str, str] | None = None) -> RegistryNotice:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return READER.read(headers(body) if given is None else given, body, at)


def test_read_message_of_a_version_names_its_model() -> None:
    assert read(CREATED) == RegistryNotice("d-1", AT, "model_version.created", "acme-wine")


@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_signature_is_the_one_that_mlflow_makes(secret: str, delivery: str, payload: str) -> None:
    assert signature(secret, delivery, STAMP, payload.encode()) == _generate_hmac_signature(
        secret, delivery, STAMP, payload
    )


@given(st.binary(max_size=40))
def test_signature_of_other_bytes_is_refused(body: bytes) -> None:
    message = json.dumps(CREATED).encode()
    if body != message:
        with pytest.raises(NotSigned):
            READER.read(headers(message), body, AT)


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": ""},
        {"signature": "v1,"},
        {"signature": "v1,é"},
        {"signature": "v2," + base64.b64encode(hmac.digest(SECRET.encode(), b"x", hashlib.sha256)).decode()},
        {"delivery": ""},
        {"delivery": "a b"},
        {"delivery": "x" * 101},
        {"timestamp": ""},
        {"timestamp": "-5"},
        {"timestamp": "1e9"},
        {"timestamp": "²"},
        {"timestamp": "9" * 12},
    ],
)
def test_read_with_bad_headers_is_refused(changes: dict[str, str]) -> None:
    body = json.dumps(CREATED).encode()
    with pytest.raises(NotSigned):
        READER.read(headers(body, **changes), body, AT)


def test_read_signed_with_another_secret_is_refused() -> None:
    body = json.dumps(CREATED).encode()
    with pytest.raises(NotSigned, match="not made with the secret"):
        READER.read(headers(body, "other" * 8), body, AT)


@pytest.mark.parametrize(("seconds", "taken"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_read_outside_of_the_window_is_refused(seconds: int, taken: bool) -> None:
    at = AT + timedelta(seconds=seconds)
    if taken:
        assert read(CREATED, at).model == "acme-wine"
    else:
        with pytest.raises(NotSigned, match="more than 300 s"):
            read(CREATED, at)


@pytest.mark.parametrize(
    ("entity", "action", "name", "model"),
    [
        ("model_version_tag", "set", "acme-wine", "acme-wine"),
        ("model_version_alias", "deleted", "acme-wine", "acme-wine"),
        ("model_version", "invented_later", "acme-wine", "acme-wine"),
        ("prompt", "created", "acme-wine", ""),
        ("registered_model", "created", "acme-wine", ""),
        ("model_version", "created", "x" * 201, ""),
        ("model_version", "created", "a\0b", ""),
    ],
)
def test_read_event_tells_of_a_model_or_of_none(entity: str, action: str, name: str, model: str) -> None:
    notice = read({"entity": entity, "action": action, "data": {"name": name}})
    assert (notice.event, notice.model) == (f"{entity}.{action}", model)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        [],
        7,
        {},
        {**CREATED, "data": []},
        {**CREATED, "entity": ["model_version"]},
        {**CREATED, "data": {}},
        {**CREATED, "data": {"name": 7}},
    ],
)
def test_read_what_mlflow_does_not_send_is_not_readable(content: Any) -> None:
    with pytest.raises(NotReadable):
        read(content)
