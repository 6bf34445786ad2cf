"""A local cloud with a scripted engine and a fake Together, shared by all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.stack import Stack
from fake_together.server_process import KEY, Server, run_server
from slacktide_fake_together import Settings
from slacktide_local.cloud import LocalCloud
from slacktide_local.hosted import Hosted

HOSTED_MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
POOL = 100_000  # enqueued tokens of each model: a test can fill it, and the others have room
PARAMETERS = {
    # A validator that was killed is followed by another after 21 s, not after 16 minutes.
    "ValidateTimeoutSeconds": "5",
    "InputVisibilitySeconds": "21",
    # By the shipped table the hosted model has the route together, together, sagemaker.
    "TransformModels": f"HuggingFaceTB/SmolLM2-135M-Instruct,{HOSTED_MODEL}",
    "TransformInstanceType": "ml.g6e.12xlarge",  # one that the hosted model fits
    "SettleWindowSeconds": "4",
    "TogetherEnqueuedTokens": str(POOL),
}


@pytest.fixture(scope="session")
def upstream() -> Iterator[Server]:
    """The fake Together that the stack takes for the real one."""
    with run_server(Settings(keys=(KEY,))) as server:
        yield server


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, upstream: Server) -> Iterator[Stack]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    hosted = Hosted(f"{upstream.url}/v1", KEY)
    with LocalCloud.start(directory, engine="scripted", hosted=hosted, parameters=PARAMETERS) as cloud:
        yield Stack(cloud)
