"""The text of the Dockerfile: it cannot be built where the tests run."""

import re
from importlib.metadata import version
from pathlib import Path

TRANSFORM = Path(__file__).parents[2] / "transform"
DOCKERFILE = (TRANSFORM / "Dockerfile").read_text()


def test_the_base_image_is_vllm_at_a_pinned_version():
    assert re.search(r"^ARG VLLM_VERSION=v\d+\.\d+\.\d+$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^FROM (.*)$", DOCKERFILE, re.MULTILINE) == ["vllm/vllm-openai:${VLLM_VERSION}"]


def test_sagemakers_serve_argument_starts_the_server_and_not_vllm():
    assert re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE) == [
        '["/opt/slacktide/venv/bin/python", "-m", "slacktide_transform"]'
    ]
    assert re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE) == ['["serve"]']


def test_the_port_is_sagemakers():
    assert re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE) == ["8080"]


def test_the_requirements_are_pinned_to_what_the_tests_run_with():
    lines = [line for line in (TRANSFORM / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert dict(line.split("==") for line in lines) == {name: version(name) for name in ("aiohttp", "msgspec")}


def test_everything_that_is_copied_exists_and_reaches_the_build():
    copied = re.findall(r"^COPY (\S+) ", DOCKERFILE, re.MULTILINE)
    assert copied == ["requirements.txt", "slacktide_transform"]
    assert all((TRANSFORM / name).exists() for name in copied)
    ignored = (TRANSFORM / ".dockerignore").read_text().splitlines()
    assert ignored == ["**", "!requirements.txt", "!slacktide_transform/**/*.py"]
