"""Calls made up from the OpenAPI document: none is answered with a 5xx, each answer is one that the document has."""

import json
import subprocess
from pathlib import Path

import pytest

from api.caller import Caller, url_of

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "api" / "openapi.json"
SECONDS = 180  # bounds a hang; a quiet machine takes some 15 s
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]

pytestmark = pytest.mark.cloud


def test_calls_that_are_made_up(caller: Caller, tmp_path: Path) -> None:
    command = [str(ROOT / ".slacktide" / "venvs" / "schemathesis" / "bin" / "schemathesis"), "run"]
    command += [str(DOCUMENT), "--url", url_of(caller.stack)]
    command += ["-H", f"Authorization: Bearer {caller.key}", "--max-redirects", "0"]  # where files are is S3, not the API
    command += ["--phases", "coverage,fuzzing", "--max-examples", "2", "--seed", "1"]
    command += ["--checks", ",".join(CHECKS), "--continue-on-failure", "--generation-database", "none", "--no-color"]
    done = subprocess.run(
        [*command, "--warnings", "off"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-1_000:]
    operations = sum(len(methods) for methods in json.loads(DOCUMENT.read_text())["paths"].values())
    assert f"Tested: {operations}\n" in done.stdout, "a call was not tried"
