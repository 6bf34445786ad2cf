"""Results by way of the HTTP API: all of an ended batch, or the parts of one that runs."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from slacktide_cli.answers import ApiBatch, ApiPart
from slacktide_cli.api import Api
from slacktide_cli.documents import Manifest, ResultFile
from slacktide_cli.errors import ApiCallError, ManifestError
from slacktide_cli.results import find_differences, find_miscounts, write_result, writing_to

PARTS = "parts"  # the folder of finished parts
_PART_ID = re.compile(r"r\d+-j\d+\.\d+")

# Is told the name of a file and its size, if that is known; what it answers is told the bytes as they come.
Show = Callable[[str, int | None], Callable[[int], None]]


def download_batch(api: Api, batch: ApiBatch, folder: Path, show: Show) -> Manifest:
    """Download output, errors, receipt and manifest of an ended batch, and return the manifest.

    Raises ManifestError when the files are not what it says (size, lines, SHA-256), UsageError when they cannot be written.
    """
    content = api.document(batch.id, "manifest")
    manifest = read_manifest(content, batch.id)
    receipt = api.document(batch.id, "receipt")
    problems = _download(api, batch.output_file_id, manifest.output, folder / "output.jsonl", show)
    problems += _download(api, batch.error_file_id, manifest.errors, folder / "errors.jsonl", show)
    problems += find_miscounts(manifest)
    with writing_to(folder):
        (folder / "receipt.json").write_bytes(receipt)
        (folder / "manifest.json").write_bytes(content)
    if problems:
        raise ManifestError(f"The results of {batch.id} are not those of its manifest: {'; '.join(problems)}.")
    return manifest


def download_parts(api: Api, batch_id: str, folder: Path, show: Show) -> tuple[list[ApiPart], int]:
    """Download the finished parts of a batch that are not in the folder yet; answers all there are, and how many were new."""
    parts, new = api.parts(batch_id), 0
    for part in parts:
        if not _PART_ID.fullmatch(part.id):  # it becomes the name of a file
            raise ApiCallError("The API names a part as no part is named; nothing more is downloaded.")
        target = part_file(folder, part)
        if target.exists():  # a part never changes, and has its name only when it is whole
            continue
        with write_result(target) as writer:
            api.download_part(batch_id, part.id, writer, show(target.name, None))
        new += 1
    return parts, new


def part_file(folder: Path, part: ApiPart) -> Path:
    """Where a part is on disk."""
    return folder / PARTS / f"{part.id}.jsonl"


def read_manifest(content: bytes, batch_id: str) -> Manifest:
    """The manifest of a batch. Raises ManifestError."""
    try:
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ManifestError(f"The manifest of {batch_id} is not readable as one.") from None


def _download(api: Api, file_id: str | None, entry: ResultFile, target: Path, show: Show) -> list[str]:
    if file_id is None and entry.lines:
        return [f"{target.name} was deleted"]
    with write_result(target) as writer:
        if file_id is not None:  # else no line is in it
            api.download_file(file_id, writer, show(target.name, entry.bytes))
    return find_differences(target.name, writer, entry)
