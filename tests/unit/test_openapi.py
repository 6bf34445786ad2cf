"""The OpenAPI document: current, and whole."""

import json
from pathlib import Path

from slacktide.api.app import ROUTES
from slacktide.api.openapi import describe_api

PAGE = Path(__file__).parents[2] / "docs" / "api" / "openapi.json"


def test_the_page_is_current() -> None:
    page = json.loads(PAGE.read_text())
    assert page == json.loads(json.dumps(describe_api(page["info"]["version"]))), "run `make docs`"


def test_every_call_is_there_under_a_name_of_its_own() -> None:
    paths = describe_api("1")["paths"]
    names = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(names) == len(set(names)) == len(ROUTES)


def test_every_reference_leads_somewhere() -> None:
    document = describe_api("1")
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    references = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references
    assert references <= set(schemas)
