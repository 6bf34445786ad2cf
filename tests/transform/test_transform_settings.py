"""The container's environment, and the command of the engine that is built from it."""

import shlex

import pytest

from slacktide_local import engine, scripted_engine
from slacktide_transform.command import build_command
from slacktide_transform.settings import SettingsError, read_settings


def test_one_error_names_every_variable_at_fault():
    with pytest.raises(SettingsError) as fault:
        read_settings({"INVOCATION_TIMEOUT_SECONDS": "3601", "MAX_IN_FLIGHT": "many", "ENGINE_LOGS": "loud"})
    for name in ("MODEL_ID is missing", "INVOCATION_TIMEOUT_SECONDS='3601'", "MAX_IN_FLIGHT='many'", "ENGINE_LOGS"):
        assert name in str(fault.value)


def test_only_the_model_is_required_and_the_rest_suits_sagemaker():
    settings = read_settings({"MODEL_ID": "m", "SOMETHING_ELSE": "x"})
    assert (settings.transform_host, settings.transform_port) == ("0.0.0.0", 8080)  # noqa: S104 - SageMaker's contract
    assert settings.max_in_flight == 256
    assert settings.max_concurrent_payloads * settings.max_payload_mb <= 100


@pytest.mark.parametrize(("payloads", "megabytes"), [("4", "26"), ("101", "1"), ("2", "0"), ("1", "101")])
def test_payloads_that_sagemaker_refuses_are_refused_here(payloads: str, megabytes: str):
    with pytest.raises(SettingsError, match="MAX_"):
        read_settings({"MODEL_ID": "m", "MAX_CONCURRENT_PAYLOADS": payloads, "MAX_PAYLOAD_MB": megabytes})


@pytest.mark.parametrize("name", ["ENGINE_START_SECONDS", "ENGINE_BACKOFF_SECONDS", "ENGINE_WAIT_SECONDS"])
@pytest.mark.parametrize("text", ["nan", "inf", "0", "-1"])
def test_times_are_finite_and_positive(name: str, text: str):
    with pytest.raises(SettingsError, match=name):
        read_settings({"MODEL_ID": "m", name: text})


@pytest.mark.parametrize(("timeout", "deadline"), [("3600", 3570), ("600", 570), ("100", 90), ("1", 0.9)])
def test_the_deadline_lies_below_the_invocation_timeout(timeout: str, deadline: float):
    assert read_settings({"MODEL_ID": "m", "INVOCATION_TIMEOUT_SECONDS": timeout}).payload_seconds == deadline


def test_vllm_serves_the_unpacked_weights_on_the_loopback_interface_and_fetches_no_media():
    command = build_command(read_settings({"MODEL_ID": "org/model", "MAX_IN_FLIGHT": "64"}), port=1234)
    assert shlex.join(command) == (
        "vllm serve /opt/ml/model --served-model-name org/model --host 127.0.0.1 --port 1234 --max-num-seqs 64 "
        "--allowed-media-domains media.invalid --disable-uvicorn-access-log --no-enable-log-requests"
    )


def test_vllm_streams_weights_from_s3():
    settings = read_settings({"MODEL_ID": "m", "MODEL_WEIGHTS_URI": "s3://bucket/weights/"})
    assert build_command(settings, port=1)[:5] == [
        "vllm", "serve", "s3://bucket/weights/", "--load-format", "runai_streamer",
    ]  # fmt: skip


def test_media_hosts_and_more_arguments_reach_vllm():
    settings = read_settings(
        {"MODEL_ID": "m", "ALLOWED_MEDIA_DOMAINS": "a.example, b.example", "ENGINE_ARGUMENTS": "--max-model-len 8192"}
    )
    command = shlex.join(build_command(settings, port=1))
    assert "--allowed-media-domains a.example b.example --" in command
    assert command.endswith(" --max-model-len 8192")


@pytest.mark.parametrize("uri", ["https://example.com/weights", "s3://bucket", "bucket/weights"])
def test_weights_that_are_not_an_s3_prefix_are_refused(uri: str):
    with pytest.raises(SettingsError, match="MODEL_WEIGHTS_URI"):
        read_settings({"MODEL_ID": "m", "MODEL_WEIGHTS_URI": uri})


@pytest.mark.parametrize("command", [engine.engine_command(), scripted_engine.engine_command()])
def test_port_and_model_are_filled_into_the_local_engines_commands(command: str):
    settings = read_settings({"MODEL_ID": "org/a model; $(x)", "ENGINE_COMMAND": command})
    assert build_command(settings, port=4321)[-4:] == ["--port", "4321", "--model", "org/a model; $(x)"]
