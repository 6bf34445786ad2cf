"""`python -m slacktide_local up | down`: the local cloud in the background. `make up` and `make down` call it."""

import argparse
import os
import sys
import time
from pathlib import Path

from slacktide_local.cloud import LocalCloud
from slacktide_local.errors import LocalCloudError, NotConnectedError, NotRunningError
from slacktide_local.hosted import BASE_URL, Hosted, take_hosted
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
            hosted = take_hosted(os.environ)
            start_cloud(directory, engine=check_engine(arguments.engine), hosted=hosted, template=arguments.template.resolve())
        else:
            stop_cloud(directory)
    except LocalCloudError as error:
        print(f"slacktide: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing is left running.", file=sys.stderr)
        return 130
    return 0


def start_cloud(directory: StateDirectory, *, engine: Engine, hosted: Hosted | None, template: Path) -> None:
    """Start a local cloud in the background, unless it is up and healthy.

    Raises NotConnectedError when one is up that has another hosted backend, or none, or one that nobody asked for.
    """
    if directory.read() is not None:
        try:
            cloud = LocalCloud.attach(directory.path)
        except NotRunningError as error:
            print(f"{error} Starting anew.")
        else:
            check_connection(cloud.state.hosted, hosted.base_url if hosted else None)
            print(f"The local cloud is up at {cloud.endpoint}. {_describe(cloud)}")
            return
    begin = time.monotonic()
    cloud = LocalCloud.start(directory.path, engine=engine, hosted=hosted, template=template, is_detached=True, report=print)
    print(f"The local cloud is up at {cloud.endpoint}, after {time.monotonic() - begin:.1f} s. {_describe(cloud)}")


def check_connection(running: str | None, asked: str | None) -> None:
    """Raise NotConnectedError unless the local cloud that runs has the hosted backend (its base URL) that was asked for."""
    if running == asked:
        return
    has = f"has the hosted backend {running}" if running else "has no hosted backend"
    raise NotConnectedError(f"A local cloud is up, and it {has}, which is not what was asked for. Stop it first: make down")


def stop_cloud(directory: StateDirectory) -> None:
    """Stop a local cloud, also a half-started one."""
    with directory.locked():
        state = directory.read()
        directory.clear(state)
    print("The local cloud is stopped." if state else "No local cloud was running.")


def _describe(cloud: LocalCloud) -> str:
    directory = cloud.directory
    hosted = f"Hosted backend: {cloud.state.hosted}" if cloud.state.hosted else f"Own GPUs only; {BASE_URL} adds a hosted backend"
    return f"{hosted}. In your shell:\n  source {directory.environment}\nLogs are in {directory.logs}. Stop it with: make down"


if __name__ == "__main__":
    sys.exit(main())
