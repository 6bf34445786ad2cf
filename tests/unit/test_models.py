"""The model table: well-formed, and found wrong where it is not."""

import pytest

from slacktide.errors import ModelTableError
from slacktide.models import parse_models, shipped_models

ROW = '[[models]]\nid = "a"\naliases = ["b"]\nfamily = "f"\nendpoints = ["/v1/completions"]\nroute = ["sagemaker"]\n'


def test_the_shipped_table() -> None:
    table = shipped_models()
    assert table.find("smollm2") is table.find("HuggingFaceTB/SmolLM2-135M-Instruct") is not None
    assert table.find("nobody") is None
    assert all(model.route for model in table.models.values())


def test_ids_without_aliases() -> None:
    assert parse_models(ROW).ids == ["a"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "not well-formed"),
        (ROW.replace("family", "famly"), "famly"),
        (ROW.replace("/v1/completions", "/v1/x"), "/v1/x"),
        (ROW + ROW, "twice"),
        (ROW + ROW.replace('"a"', '"b"').replace('["b"]', "[]"), "twice"),
    ],
)
def test_what_is_wrong_is_said(text: str, told: str) -> None:
    with pytest.raises(ModelTableError, match=told):
        parse_models(text)
