"""The table of error codes is total, and HTTP statuses fall into it."""

import pytest

from slacktide.codes import CLASSES, Code, CodeClass, code_of_status


def test_every_code_has_a_class() -> None:
    assert set(CLASSES) == set(Code)
    assert set(CLASSES.values()) == set(CodeClass)


@pytest.mark.parametrize("status", range(200, 300))
def test_2xx_is_a_success(status: int) -> None:
    assert code_of_status(status) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 451, 499])
def test_4xx_is_refused_for_good(status: int) -> None:
    assert CLASSES[code_of_status(status) or Code.EMPTY_FILE] is CodeClass.REJECTED


@pytest.mark.parametrize("status", [0, -1, 100, 302, 408, 409, 429, 500, 502, 503, 504, 599, 999])
def test_the_rest_may_pass_in_another_round(status: int) -> None:
    assert CLASSES[code_of_status(status) or Code.EMPTY_FILE] is CodeClass.TRANSIENT
