"""`python -m slacktide_local up | down`: the local cloud in the background. `make up` and `make down` call it."""

import argparse
import sys
import time
from pathlib import Path

from slacktide_local.cloud import LocalCloud
from slacktide_local.errors import LocalCloudError, NotRunningError
from slacktide_local.start import ROOT, STATE, Engine, check_engine
from slacktide_local.state import StateDirectory


def main() -> int:
    """Carry out the verb; 0 when it is done, 1 with a message on stderr when it is not."""
    parser = argparse.ArgumentParser(prog="python -m slacktide_local", description="The local cloud in the background.")
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--engine", choices=["llama", "scripted"], default="llama", help="what answers the requests")
    parser.add_argument("--state-dir", type=Path, default=STATE, help="where it keeps its record, logs and local.env")
    parser.add_argument("--template", type=Path, default=ROOT / "template.yaml", help="what is deployed onto it")
    arguments = parser.parse_args()
    directory = StateDirectory(arguments.state_dir)
    try:
        if arguments.verb == "up":
            start_cloud(directory, engine=check_engine(arguments.engine), template=arguments.template.resolve())
        else:
            stop_cloud(directory)
    except LocalCloudError as error:
        print(f"slacktide: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing is left running.", file=sys.stderr)
        return 130
    return 0


def start_cloud(directory: StateDirectory, *, engine: Engine, template: Path) -> None:
    """Start a local cloud in the background, unless it is up and healthy."""
    if directory.read() is not None:
        try:
            cloud = LocalCloud.attach(directory.path)
        except NotRunningError as error:
            print(f"{error} Starting anew.")
        else:
            print(f"The local cloud is up at {cloud.endpoint}. {_describe(directory)}")
            return
    begin = time.monotonic()
    cloud = LocalCloud.start(directory.path, engine=engine, template=template, is_detached=True, report=print)
    print(f"The local cloud is up at {cloud.endpoint}, after {time.monotonic() - begin:.1f} s. {_describe(directory)}")


def stop_cloud(directory: StateDirectory) -> None:
    """Stop a local cloud, also a half-started one."""
    with directory.locked():
        state = directory.read()
        directory.clear(state)
    print("The local cloud is stopped." if state else "No local cloud was running.")


def _describe(directory: StateDirectory) -> str:
    return f"In your shell:\n  source {directory.environment}\nLogs are in {directory.logs}. Stop it with: make down"


if __name__ == "__main__":
    sys.exit(main())
