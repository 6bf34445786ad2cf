"""The engine's command line: vLLM built from the settings, or the one that the settings name."""

import shlex

from slacktide_transform.settings import MODEL_DIRECTORY, Settings

# vLLM fetches media from any host when the list of allowed ones is empty; no host can have this name (RFC 2606).
NO_MEDIA_HOST = "media.invalid"


def build_command(settings: Settings, *, port: int) -> list[str]:
    """The engine's command line, with `{port}` and `{model}` of ENGINE_COMMAND filled in."""
    if not settings.engine_command:
        return build_vllm_command(settings, port=port)
    filled = {"{port}": str(port), "{model}": settings.model_id}
    words = shlex.split(settings.engine_command)
    for placeholder, value in filled.items():
        words = [word.replace(placeholder, value) for word in words]
    return words


def build_vllm_command(settings: Settings, *, port: int) -> list[str]:
    """`vllm serve` on the loopback interface.

    Weights are the directory where SageMaker unpacks ModelDataUrl, or are streamed from S3 (vLLM's page "Loading models
    with Run:ai Model Streamer"). Media URLs are fetched from ALLOWED_MEDIA_DOMAINS only (vLLM's page "Security").
    """
    streamed = ["--load-format", "runai_streamer"] if settings.model_weights_uri else []
    domains = [domain.strip() for domain in settings.allowed_media_domains.split(",") if domain.strip()]
    return [
        *("vllm", "serve", settings.model_weights_uri or MODEL_DIRECTORY),
        *streamed,
        *("--served-model-name", settings.model_id),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--max-num-seqs", str(settings.max_in_flight)),
        *("--allowed-media-domains", *(domains or [NO_MEDIA_HOST])),
        *("--disable-uvicorn-access-log", "--no-enable-log-requests"),
        *shlex.split(settings.engine_arguments),
    ]
