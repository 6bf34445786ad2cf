"""`slacktide run FILE`: drop a file, follow its batch, download and check its results."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import boto3
import msgspec
import typer
from botocore.exceptions import BotoCoreError
from msgspec import Meta
from rich.console import Console

from slacktide.statuses import BatchStatus
from slacktide_cli.arguments import BucketOption, JsonOption, open_consoles, print_json, say
from slacktide_cli.batches import Drop, check_key, choose_key, download_results, drop_file, follow_batch
from slacktide_cli.documents import Counts, LatestBatch, Manifest, Problem
from slacktide_cli.errors import ExitCode, ServiceError, UsageError
from slacktide_cli.receipts import describe_costs, read_receipt
from slacktide_cli.views import View, choose_view

_PLAIN_SUFFIX = ".jsonl"


class OnInvalid(StrEnum):
    """What happens to the good lines of a file with bad ones."""

    SKIP = "skip"
    REJECT = "reject"


class RunDocument(msgspec.Struct, frozen=True):
    """What `--json` prints at the end."""

    ok: Annotated[bool, Meta(description="whether the batch is `completed`, and so the exit code 0")]
    batch_id: str
    input: Annotated[str, Meta(description="where the file was dropped")]
    status: Annotated[BatchStatus, Meta(description="how the batch ended")]
    counts: Annotated[Counts, Meta(description="lines: `total`, `completed`, `failed`")]
    error: Annotated[Problem | None, Meta(description="`code` and `message` of a batch that failed")]
    folder: Annotated[str, Meta(description="where output.jsonl, errors.jsonl, receipt.json and manifest.json are")]
    v: int = 1


OnInvalidOption = Annotated[
    OnInvalid | None, typer.Option(help="Run the good lines of a file with bad ones, or refuse it whole.")
]
MaxInvalidRatioOption = Annotated[float | None, typer.Option(min=0, max=1, help="Refuse a file with a bigger part of bad lines.")]
OnlyModelOption = Annotated[str | None, typer.Option(help="The only model that the lines may name.")]


def run(
    file: Annotated[Path, typer.Argument(help="The requests, one JSON object a line.", show_default=False)],
    *,
    out: Annotated[Path | None, typer.Option(help="Folder for the results.", show_default="./results/<batch id>")] = None,
    bucket: BucketOption = None,
    key: Annotated[
        str | None, typer.Option(help="The key to drop it at, below input/.", show_default="input/cli/<time>/<file>")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Ask this model instead of the one that each line names.")] = None,
    completion_window: Annotated[str | None, typer.Option(help="How long the batch may take, e.g. 24h or 7d.")] = None,
    on_invalid: OnInvalidOption = None,
    max_invalid_ratio: MaxInvalidRatioOption = None,
    endpoint: Annotated[str | None, typer.Option(help="Endpoint of lines without a url.")] = None,
    tag: Annotated[str | None, typer.Option(help="A text of yours, repeated in the notifications.")] = None,
    not_before: Annotated[str | None, typer.Option(help="When it may begin: 2026-01-31T22:00:00Z, or e.g. 6h from now.")] = None,
    route: Annotated[str | None, typer.Option(help="Backends to try, round after round, e.g. together,sagemaker.")] = None,
    max_rounds: Annotated[int | None, typer.Option(min=1, help="Most rounds that it may take.")] = None,
    show_backend: Annotated[bool, typer.Option(help="Have each output line tell its backend and round.")] = False,
    priority: Annotated[str | None, typer.Option(help="Which jobs go first where they wait: high, normal or low.")] = None,
    max_cost_usd: Annotated[str | None, typer.Option(help="The most that the batch may cost, in dollars, e.g. 12.50.")] = None,
    only_model: OnlyModelOption = None,
    output_expires_after: Annotated[str | None, typer.Option(help="Delete the results so long after the end, e.g. 7d.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run FILE as a batch: drop it, follow it, download the results and check them.

    Exit code 0: completed. 1: failed, expired, cancelled, or the results are not what the manifest says. 2: usage.
    """
    options = {
        "completion-window": completion_window,
        "on-invalid": on_invalid,
        "max-invalid-ratio": None if max_invalid_ratio is None else f"{max_invalid_ratio:g}",
        "endpoint": endpoint,
        "tag": tag,
        "not-before": not_before,
        "route": route,
        "max-rounds": max_rounds,
        "show-backend": "true" if show_backend else None,
        "priority": priority,
        "max-cost-usd": max_cost_usd,
        "only-model": only_model,
        "output-expires-after": output_expires_after,
    }
    target = check_arguments(file, bucket=bucket, key=key, model=model, tag=tag)
    console, _ = open_consoles(as_json=as_json)
    code = run_file(
        file,
        target=target,
        out=out,
        model=model,
        options={name: str(value) for name, value in options.items() if value is not None},
        s3=_connect(),
        console=console,
        view=choose_view(console),
        as_json=as_json,
    )
    raise typer.Exit(code)


def check_arguments(file: Path, *, bucket: str | None, key: str | None, model: str | None, tag: str | None) -> tuple[str, str]:
    """Return bucket and key. Raises UsageError when the command cannot be carried out."""
    if not bucket:
        raise UsageError(
            "No bucket. Say where to drop the file: `source .slacktide/local.env` after `make up`, "
            "or set SLACKTIDE_BUCKET (or --bucket) to the output BucketName of your stack."
        )
    if not file.is_file():
        raise UsageError(f"{file} is not a file. Give a JSONL file with one request a line.")
    if model is not None and file.suffix != _PLAIN_SUFFIX:
        raise UsageError(f"--model reads the lines of {_PLAIN_SUFFIX} files; {file.name} is none. Decompress it first.")
    if tag is not None and not (tag.isascii() and tag.isprintable()):
        raise UsageError("--tag takes printable ASCII characters only: it travels in an HTTP header.")
    return bucket, check_key(key or choose_key(file))


def run_file(
    file: Path,
    *,
    target: tuple[str, str],
    out: Path | None,
    model: str | None,
    options: dict[str, str],
    s3: Any,
    console: Console,
    view: View,
    as_json: bool = False,
) -> ExitCode:
    """Drop, follow and download; the exit code says how the batch ended."""
    bucket, key = target
    drop = drop_file(s3, file, bucket=bucket, key=key, options=options, model=model)
    say(console, f"Dropped {file} at s3://{bucket}/{key}")
    try:
        batch = _follow(s3, drop, view)
    except KeyboardInterrupt:
        say(
            console,
            f"The batch goes on without you. Its status: s3://{bucket}/{drop.latest_key} "
            f"(aws s3 cp s3://{bucket}/{drop.latest_key} -); its results will lie beside it. "
            f"To cancel it, put an empty object at s3://{bucket}/{key}.cancel",
        )
        return ExitCode.INTERRUPTED
    folder = out or Path("results") / batch.batch_id
    manifest = download_results(s3, drop, batch, folder)
    is_good = batch.status is BatchStatus.COMPLETED
    say(console, summarize(batch, manifest, folder))
    say(console, describe_costs(read_receipt(folder / "receipt.json").costs))
    if as_json:
        print_json(
            RunDocument(is_good, batch.batch_id, f"s3://{bucket}/{key}", batch.status, manifest.counts, batch.error, str(folder))
        )
    return ExitCode.OK if is_good else ExitCode.FAILED


def summarize(batch: LatestBatch, manifest: Manifest, folder: Path) -> str:
    """Return what a person wants to know at the end: how it ended, how many lines, where the files are."""
    reason = f" ({batch.error.code}: {batch.error.message})" if batch.error else ""
    return (
        f"{batch.batch_id} {batch.status}{reason}: {manifest.output.lines} answers, {manifest.errors.lines} errors, "
        f"{manifest.counts.total} lines; checked against the manifest.\n"
        f"Files: {folder}/output.jsonl, errors.jsonl, receipt.json, manifest.json"
    )


def _follow(s3: Any, drop: Drop, view: View) -> LatestBatch:
    batch = None
    with view:
        for batch in follow_batch(s3, drop):
            view.show(batch)
    if batch is None:  # follow_batch ends with a final batch or an error
        raise AssertionError("followed to the end, and saw no batch")
    return batch


def _connect() -> Any:
    try:
        return boto3.client("s3")
    except BotoCoreError as error:
        raise ServiceError(f"AWS cannot be used: {error}. Set the credentials and the region.") from error
