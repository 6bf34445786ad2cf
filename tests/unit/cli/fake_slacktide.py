"""What Slacktide does in its bucket, as far as a client sees it: a status document that moves, then results."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from slacktide import keys

BATCH = "batch_" + "a" * 26
BUCKET = "slacktide-bucket"


@dataclass
class FakeSlacktide:
    """A script of steps over an S3 client; each wait of the client under test carries out the next one."""

    s3: Any
    steps: Iterator[Callable[[], None]] = field(default_factory=lambda: iter(()))
    waits: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        """Stand for time.sleep: do the next step. A client that waits on after the last one fails."""
        self.waits.append(seconds)
        step = next(self.steps, None)
        assert step is not None, "the client waits, and nothing will change any more"
        step()

    def newest_input(self) -> dict[str, Any]:
        """The newest object below input/: key, version and metadata."""
        entries = self.s3.list_object_versions(Bucket=BUCKET, Prefix="input/")["Versions"]
        newest = next(entry for entry in entries if entry["IsLatest"])
        head = self.s3.head_object(Bucket=BUCKET, Key=newest["Key"], VersionId=newest["VersionId"])
        return {"key": newest["Key"], "version_id": newest["VersionId"], "metadata": head["Metadata"]}

    def show(self, status: str, *, total: int = 3, completed: int = 0, failed: int = 0, **more: Any) -> None:
        """Write latest.json."""
        dropped = self.newest_input()
        document = {
            "v": 1,
            "batch_id": BATCH,
            "status": status,
            "input": {"bucket": BUCKET, "key": dropped["key"], "version_id": dropped["version_id"]},
            "counts": {"total": total, "completed": completed, "failed": failed},
            "progress": {"round": 1, "jobs": [_job(total, completed)]},
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "deadline": "2026-01-02T00:00:00Z",
            "output": {"prefix": f"output/{keys.input_path(dropped['key'])}/{BATCH}/"},
            "error": None,
            **more,
        }
        key = keys.latest(keys.input_path(dropped["key"]))
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(document).encode())

    def commit(self, *, status: str = "completed", output: bytes, errors: bytes, total: int, **wrong: Any) -> None:
        """Write the results and the manifest; `wrong` replaces what the manifest says about the output file."""
        results = keys.ResultKeys(keys.input_path(self.newest_input()["key"]), BATCH)
        manifest = {
            "version": "1",
            "batch_id": BATCH,
            "status": status,
            "counts": {"total": total, "completed": output.count(b"\n"), "failed": errors.count(b"\n")},
            "output": {**self._put(results.output, output), **wrong},
            "errors": self._put(results.errors, errors),
            "receipt": {"key": results.receipt},
        }
        self.s3.put_object(Bucket=BUCKET, Key=results.receipt, Body=b"{}")
        self.s3.put_object(Bucket=BUCKET, Key=results.manifest, Body=json.dumps(manifest).encode())

    def _put(self, key: str, content: bytes) -> dict[str, Any]:
        version = self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)["VersionId"]
        digest = hashlib.sha256(content).hexdigest()
        lines = content.count(b"\n")
        return {"key": key, "version_id": version, "lines": lines, "bytes": len(content), "sha256": digest}


def _job(total: int, completed: int) -> dict[str, Any]:
    names = {"job_id": "r1-j1", "backend": "sagemaker", "model": "smollm2", "state": "running"}
    return {**names, "total": total, "completed": completed}
