"""A build is used again exactly as long as nothing that goes into it has changed; packages depend on content alone."""

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from slacktide_local.build import build_template, hash_sources, host_parameters
from slacktide_local.deployment import zip_folder
from slacktide_local.errors import BuildFailedError
from slacktide_local.start import LOCAL_PARAMETERS, ROOT

PARAMETERS = {"PythonRuntime": "python3.11", "Architecture": "x86_64"}

# A `sam` that notes each of its runs.
FAKE_SAM = """#!/bin/sh
while [ "$1" != --build-dir ]; do shift; done
echo run >> "{runs}"
mkdir -p "$2" && echo built > "$2/template.yaml"
exit {code}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("functions/a/app.py", "layers/core/Makefile", "statemachine/m.asl.json", "template.yaml", "README.md"):
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "project"


def make_sam(tmp_path: Path, code: int = 0) -> Path:
    sam = tmp_path / "venv" / "bin" / "sam"
    sam.parent.mkdir(parents=True, exist_ok=True)
    sam.write_text(FAKE_SAM.format(runs=tmp_path / "runs", code=code))
    sam.chmod(0o755)
    return tmp_path / "venv"


def build(project: Path, sam: Path, **parameters: str) -> Path:
    builds = project.parent / "builds"
    return build_template(project / "template.yaml", builds=builds, sam=sam, parameters={**PARAMETERS, **parameters})


def test_nothing_is_built_twice_and_every_change_builds_anew(project: Path, tmp_path: Path) -> None:
    sam = make_sam(tmp_path)

    def runs() -> int:
        return (tmp_path / "runs").read_text().count("run")

    assert build(project, sam).read_text() == "built\n"
    build(project, sam)
    assert runs() == 1
    for path in ("functions/a/app.py", "layers/core/Makefile", "statemachine/m.asl.json", "template.yaml"):
        before = runs()
        (project / path).write_text("changed")
        build(project, sam)
        assert runs() == before + 1, path
    build(project, sam, Architecture="arm64")
    assert runs() == 6


def test_a_failed_build_is_shown_and_not_kept(project: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildFailedError, match="sam build"):
        build(project, make_sam(tmp_path, code=1))
    assert list((tmp_path / "builds").iterdir()) == []
    build(project, make_sam(tmp_path))
    assert (tmp_path / "runs").read_text().count("run") == 2


def test_a_build_that_lost_its_template_is_made_again(project: Path, tmp_path: Path) -> None:
    sam = make_sam(tmp_path)
    build(project, sam).unlink()
    assert build(project, sam).read_text() == "built\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "README.md").write_text("other"),
        lambda root: os.utime(root / "functions/a/app.py", (1, 1)),
        lambda root: (root / "functions/a/__pycache__").mkdir() or (root / "functions/a/__pycache__/x").write_text(""),
    ],
    ids=["another file", "a time", "a cache"],
)
def test_what_is_not_built_does_not_count(project: Path, change: Callable[[Path], object]) -> None:
    before = hash_sources(project / "template.yaml", PARAMETERS)
    change(project)
    assert hash_sources(project / "template.yaml", PARAMETERS) == before


def test_a_renamed_file_counts(project: Path) -> None:
    before = hash_sources(project / "template.yaml", PARAMETERS)
    (project / "functions/a/app.py").rename(project / "functions/a/apq.py")
    assert hash_sources(project / "template.yaml", PARAMETERS) != before


def test_a_package_has_the_same_bytes_whenever_it_is_made(project: Path) -> None:
    first = zip_folder(project / "functions")
    os.utime(project / "functions/a/app.py", (1, 1))
    assert zip_folder(project / "functions") == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.read("a/app.py") == b"functions/a/app.py"


def test_every_local_parameter_is_one_of_the_templates() -> None:
    section = (ROOT / "template.yaml").read_text().partition("\nParameters:\n")[2].partition("\nRules:\n")[0]
    names = {line.strip().removesuffix(":") for line in section.splitlines() if re.fullmatch(r"  \w+:", line)}
    assert names >= LOCAL_PARAMETERS.keys() | host_parameters().keys()
