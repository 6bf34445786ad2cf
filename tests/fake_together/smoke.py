"""Check against a service what the fake assumes of it: `make smoke-together TOGETHER_API_KEY=…`.

With the real one it costs less than a cent: about twenty requests of a few words, each answered with one token at most.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent))

from clients.facts import Facts, Target
from service_checks import check_service

ROOT = Path(__file__).parents[2]
CLIENTS = {"client3.py": "together", "client1.py": "together1"}
REAL = "https://api.together.ai/v1"
MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
# The official client reports its use and looks for newer versions unless told not to.
QUIET = {"TOGETHER_TELEMETRY_DISABLED": "1", "TOGETHER_DISABLE_VERSION_CHECK": "1", "TOGETHER_NO_BANNER": "1"}

Rows = dict[str, dict[str, Any]]


def run_client(script: str, target: Target, key: str) -> Rows:
    """The facts of one of the official clients, in its own environment."""
    python = ROOT / ".slacktide" / "venvs" / CLIENTS[script] / "bin" / "python"
    command = [str(python), str(Path(__file__).with_name("clients") / script)]
    command += [target.url, target.model, str(target.folder), str(target.patience)]
    # TOGETHER_BASE_URL would be a second opinion about the address; the home directory may hold a log-in.
    environment = {"PATH": os.environ["PATH"], "HOME": str(target.folder), "TOGETHER_API_KEY": key, **QUIET}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {f"{script} runs": {"assumed": True, "observed": done.stderr[-2_000:]}}
    return json.loads(done.stdout)


def check_all(base_url: str, key: str, model: str, folder: Path, patience: float) -> Rows:
    """Every fact: of both clients, and of the questions."""
    target = Target([base_url.removesuffix("/v1"), model, str(folder), str(patience)])
    facts = Facts()
    with httpx.Client(base_url=f"{target.url}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        check_service(http, target, facts)
    rows = facts.rows
    for script in CLIENTS:
        rows = rows | run_client(script, target, key)
    return rows


def report(rows: Rows) -> bool:
    """Print a line for each fact; whether all are as assumed."""
    for name, fact in rows.items():
        if fact["assumed"] == fact["observed"]:
            print(f"as assumed  {name}: {fact['observed']}")
        else:
            print(f"DIFFERENT   {name}: assumed {fact['assumed']}, observed {fact['observed']}")
    return all(fact["assumed"] == fact["observed"] for fact in rows.values())


def main(arguments: Sequence[str]) -> int:
    """Exit code 0: all as assumed. 1: something is different. 2: no key."""
    parser = argparse.ArgumentParser(prog="make smoke-together", description=main.__doc__)
    parser.add_argument("--base-url", default=os.environ.get("TOGETHER_BASE_URL") or REAL)
    parser.add_argument("--model", default=os.environ.get("TOGETHER_MODEL") or MODEL)
    parser.add_argument("--patience", type=float, default=3_600, help="seconds to wait for a batch")
    options = parser.parse_args(arguments)
    key = os.environ.get("TOGETHER_API_KEY")
    if not key:
        print("There is no key. Run make smoke-together TOGETHER_API_KEY=<your key>.", file=sys.stderr)
        return 2
    with TemporaryDirectory() as folder:
        return 0 if report(check_all(options.base_url, key, options.model, Path(folder), options.patience)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
