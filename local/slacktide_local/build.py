"""`sam build` of the template, skipped while nothing that goes into it has changed."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from slacktide_local.errors import BuildFailedError

_SOURCES = ("functions", "layers", "statemachine")  # what the template builds or carries
_LEFT_OUT = {"__pycache__", ".pytest_cache", ".ruff_cache"}
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_TIMEOUT = 300  # seconds
_BUILD = "build"
_KEPT = 3_600  # seconds; another local cloud may be reading an older build


def host_parameters() -> dict[str, str]:
    """Return the template's parameters that make its functions and layer run on this very machine."""
    return {
        "PythonRuntime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Architecture": _ARCHITECTURES[platform.machine().lower()],
    }


def build_template(template: Path, *, builds: Path, sam: Path, parameters: Mapping[str, str]) -> Path:
    """Return the built template. A build is kept under the hash of what goes into it, older ones are removed.

    Raises BuildFailedError with what `sam build` said.
    """
    target = builds / hash_sources(template, parameters)
    built = target / _BUILD / "template.yaml"  # one folder deeper, since SAM keeps a file of its own beside it
    if built.exists():
        return built
    builds.mkdir(parents=True, exist_ok=True)
    unfinished = builds / f"unfinished-{os.getpid()}"
    try:
        _run_sam_build(template, unfinished / _BUILD, sam, parameters)
        _keep(unfinished, target, built)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for older in builds.glob("local-*"):
        if older.stat().st_mtime < target.stat().st_mtime - _KEPT:
            shutil.rmtree(older)
    return built


def hash_sources(template: Path, parameters: Mapping[str, str]) -> str:
    """Return a name made of the content of everything that the build reads, and of its parameters."""
    digest = hashlib.sha256()
    for path in _list_sources(template):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(template.parent)}\0{len(content)}\0".encode() + content)
    digest.update(repr(sorted(parameters.items())).encode())
    return f"local-{digest.hexdigest()[:16]}"


def _list_sources(template: Path) -> Iterator[Path]:
    yield template
    for name in _SOURCES:
        for path in sorted((template.parent / name).rglob("*")):
            if path.is_file() and not _LEFT_OUT & set(path.parts):
                yield path


def _run_sam_build(template: Path, target: Path, sam: Path, parameters: Mapping[str, str]) -> None:
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    command = [str(sam / "bin" / "sam"), "build", "--template-file", str(template), "--build-dir", str(target)]
    # The layer's Makefile fills in these two (see layers/core/Makefile): one interpreter and machine is enough here.
    only_this_machine = {
        "LAYER_PYTHONS": parameters["PythonRuntime"].removeprefix("python"),
        "LAYER_ARCHITECTURES": parameters["Architecture"],
        "LAYER_PIP": sys.executable,
    }
    done = subprocess.run(
        [*command, "--parameter-overrides", *overrides],
        # SAM's own folder would be one in the home directory.
        env={**os.environ, **only_this_machine, "SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(target.parent.parent / "sam")},
        cwd=template.parent,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise BuildFailedError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")


def _keep(unfinished: Path, target: Path, built: Path) -> None:
    if target.exists() and not built.exists():  # cut short, or made by an older version of this module
        shutil.rmtree(target)
    try:
        unfinished.rename(target)
    except OSError:
        if not built.exists():  # otherwise another command has built the same at the same time, and was first
            raise
