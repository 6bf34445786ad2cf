"""Dropping, following and downloading, against a bucket in memory."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from fake_slacktide import BATCH, BUCKET, FakeSlacktide

from slacktide_cli import batches
from slacktide_cli.batches import Drop, check_key, choose_key, download_results, drop_file, follow_batch
from slacktide_cli.documents import LatestBatch
from slacktide_cli.errors import BatchReplacedError, ManifestError, ServiceError, UsageError

KEY = "input/a.jsonl"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"custom_id": "1", "body": {"model": "big"}}\nbroken\n')
    return path


def drop(slacktide: FakeSlacktide, file: Path, **options: str) -> Drop:
    return drop_file(slacktide.s3, file, bucket=BUCKET, key=KEY, options=options)


def follow(slacktide: FakeSlacktide, dropped: Drop) -> list[LatestBatch]:
    return list(follow_batch(slacktide.s3, dropped, wait=slacktide.wait))


def test_a_chosen_key_names_time_and_file_and_is_never_the_same() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second = (choose_key(Path("x/my file.jsonl"), now) for _ in range(2))
    assert first.startswith("input/cli/20260102T030405-")
    assert first.endswith("/my file.jsonl")
    assert first != second


@pytest.mark.parametrize("key", ["a.jsonl", "output/a.jsonl", "input/a.json", "input/a.jsonl.zip"])
def test_a_key_that_nothing_listens_to_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match=r"--key"):
        check_key(key)


def test_a_drop_carries_its_options_and_the_files_bytes(slacktide: FakeSlacktide, file: Path) -> None:
    dropped = drop(slacktide, file, **{"completion-window": "2h", "tag": "nightly"})
    stored = slacktide.newest_input()
    assert (stored["key"], stored["version_id"]) == (KEY, dropped.version_id)
    assert stored["metadata"] == {"completion-window": "2h", "tag": "nightly"}
    assert slacktide.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == file.read_bytes()


def test_a_file_of_several_parts_is_dropped_with_its_version(
    slacktide: FakeSlacktide, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_ONE_PUT", 10)
    assert drop(slacktide, file, tag="big").version_id == slacktide.newest_input()["version_id"]
    assert slacktide.newest_input()["metadata"] == {"tag": "big"}


def test_another_model_is_written_into_the_dropped_copy_alone(slacktide: FakeSlacktide, file: Path) -> None:
    before = file.read_bytes()
    drop_file(slacktide.s3, file, bucket=BUCKET, key=KEY, options={}, model="smollm2")
    first, second = slacktide.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read().splitlines()
    assert json.loads(first)["body"]["model"] == "smollm2"
    assert second == b"broken"
    assert file.read_bytes() == before


def test_a_bucket_without_versions_is_not_slacktides(slacktide: FakeSlacktide, file: Path) -> None:
    slacktide.s3.create_bucket(Bucket="other")
    with pytest.raises(UsageError, match="keeps no versions"):
        drop_file(slacktide.s3, file, bucket="other", key=KEY, options={})


def test_a_missing_bucket_and_a_missing_network_are_said(slacktide: FakeSlacktide, file: Path) -> None:
    with pytest.raises(ServiceError, match="NoSuchBucket"):
        drop_file(slacktide.s3, file, bucket="gone", key=KEY, options={})

    class Offline:
        def put_object(self, **_: object) -> None:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    with pytest.raises(ServiceError, match="uploading to s3://b/"):
        drop_file(Offline(), file, bucket="b", key=KEY, options={})


def test_following_yields_each_change_up_to_the_final_one(slacktide: FakeSlacktide, file: Path) -> None:
    dropped = drop(slacktide, file)
    slacktide.steps = iter(
        [
            lambda: None,  # validation has not begun
            partial(slacktide.show, "validating"),
            lambda: None,  # no change: nothing is yielded
            partial(slacktide.show, "in_progress", completed=1),
            partial(slacktide.show, "in_progress", completed=2),
            partial(slacktide.show, "completed", completed=2, failed=1),
        ]
    )
    seen = [(batch.status.value, batch.counts.completed) for batch in follow(slacktide, dropped)]
    assert seen == [("validating", 0), ("in_progress", 1), ("in_progress", 2), ("completed", 2)]


def test_the_status_of_an_earlier_batch_of_the_same_key_is_not_ours(slacktide: FakeSlacktide, file: Path) -> None:
    drop(slacktide, file)
    slacktide.show("completed")
    dropped = drop(slacktide, file)
    slacktide.steps = iter([partial(slacktide.show, "in_progress"), partial(slacktide.show, "failed")])
    assert [batch.status.value for batch in follow(slacktide, dropped)] == ["in_progress", "failed"]


def test_a_batch_whose_key_is_written_again_is_lost_from_sight(slacktide: FakeSlacktide, file: Path) -> None:
    dropped = drop(slacktide, file)

    def overwrite() -> None:
        drop(slacktide, file)
        slacktide.show("validating")

    slacktide.steps = iter([partial(slacktide.show, "in_progress"), overwrite])
    with pytest.raises(BatchReplacedError, match="written again"):
        follow(slacktide, dropped)


def test_the_waits_grow_with_the_batchs_age_up_to_fifteen_seconds(slacktide: FakeSlacktide, file: Path) -> None:
    dropped = drop(slacktide, file)
    slacktide.steps = iter([*[lambda: None] * 300, partial(slacktide.show, "completed")])
    follow(slacktide, dropped)
    assert slacktide.waits[0] == 0.5
    assert slacktide.waits == sorted(slacktide.waits)
    assert slacktide.waits[-1] == 15.0


def final(slacktide: FakeSlacktide, dropped: Drop, **counts: int) -> LatestBatch:
    slacktide.show("completed", **counts)
    (batch,) = follow(slacktide, dropped)
    return batch


def test_results_are_downloaded_and_agree_with_the_manifest(slacktide: FakeSlacktide, file: Path, tmp_path: Path) -> None:
    dropped = drop(slacktide, file)
    slacktide.commit(output=b"1\n3\n", errors=b"2\n", total=3)
    manifest = download_results(slacktide.s3, dropped, final(slacktide, dropped), tmp_path / "out")
    assert manifest.batch_id == BATCH
    assert {path.name: path.read_bytes()[:2] for path in (tmp_path / "out").iterdir()} == {
        "output.jsonl": b"1\n",
        "errors.jsonl": b"2\n",
        "receipt.json": b"{}",
        "manifest.json": b'{"',
    }


def test_the_version_that_the_manifest_names_is_downloaded(slacktide: FakeSlacktide, file: Path, tmp_path: Path) -> None:
    dropped = drop(slacktide, file)
    slacktide.commit(output=b"1\n", errors=b"", total=1)
    manifest = download_results(slacktide.s3, dropped, final(slacktide, dropped), tmp_path)
    slacktide.s3.put_object(Bucket=BUCKET, Key=manifest.output.key, Body=b"forged\n")
    download_results(slacktide.s3, dropped, final(slacktide, dropped), tmp_path)
    assert (tmp_path / "output.jsonl").read_bytes() == b"1\n"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"sha256": "0" * 64}, "output.jsonl has sha256"),
        ({"lines": 9}, "output.jsonl has lines 2, the manifest says 9"),
        ({"bytes": 9}, "output.jsonl has bytes 4"),
    ],
)
def test_results_that_are_not_what_the_manifest_says_are_refused(
    slacktide: FakeSlacktide, file: Path, tmp_path: Path, wrong: dict[str, object], complaint: str
) -> None:
    dropped = drop(slacktide, file)
    slacktide.commit(output=b"1\n3\n", errors=b"2\n", total=3, **wrong)
    with pytest.raises(ManifestError, match=complaint):
        download_results(slacktide.s3, dropped, final(slacktide, dropped), tmp_path)


def test_lines_that_are_in_neither_file_are_missed(slacktide: FakeSlacktide, file: Path, tmp_path: Path) -> None:
    dropped = drop(slacktide, file)
    slacktide.commit(output=b"1\n", errors=b"2\n", total=3)
    with pytest.raises(ManifestError, match="2 lines together, the batch has 3"):
        download_results(slacktide.s3, dropped, final(slacktide, dropped), tmp_path)


def test_an_ended_batch_without_a_manifest_is_an_error(slacktide: FakeSlacktide, file: Path, tmp_path: Path) -> None:
    dropped = drop(slacktide, file)
    with pytest.raises(ManifestError, match="no manifest"):
        download_results(slacktide.s3, dropped, final(slacktide, dropped), tmp_path)
