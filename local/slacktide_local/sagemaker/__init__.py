"""A SageMaker stand-in: Batch Transform's documented rules, with real S3 objects and real container processes.

`python -m slacktide_local.sagemaker --port N --s3-endpoint URL --container-command "…"` serves AWS JSON 1.1, so that
boto3's own `sagemaker` client talks to it through `endpoint_url`. It lists the job's S3 prefix, starts one container
process for each instance, waits for its `/ping`, posts every object to its `/invocations` and writes `<name>.out`
below the output path.

What it is not: IAM is not modelled (no signature is checked, `iam:PassRole` and the execution role are never used, S3
is reached with the stand-in's own credentials); no image is pulled (the container command stands for it);
`ModelDataUrl` is not downloaded; quotas exist only as scripted conditions (`POST /_control/faults`); state is in
memory and ends with the process.

Modules: `server` (HTTP) → `operations` (one function for each API call) → `shapes`, `rules` (what is refused) and
`account` (what exists) → `runner` (one job's life) → `container`, `invocation`, `objects`. Beside them `faults`,
`ledger` and `control` for tests.
"""
