"""Keys of the bucket: what stands for what, and the limit of S3."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from slacktide import keys

BATCH = "batch_" + "a" * 26
S3_LIMIT = 1_024


def test_a_path_is_the_key_below_input() -> None:
    assert keys.input_path("input/a b+c%20ü/x.jsonl") == "a b+c%20ü/x.jsonl"
    assert keys.ResultKeys("x.jsonl", BATCH).output == f"output/x.jsonl/{BATCH}/output.jsonl"
    assert keys.latest("x.jsonl") == "output/x.jsonl/latest.json"


def test_the_limit_counts_bytes() -> None:
    assert keys.input_path("input/" + "ü" * 450) == "ü" * 450
    longer = "ü" * 450 + "x"
    assert keys.input_path("input/" + longer) == "_/" + hashlib.sha256(longer.encode()).hexdigest()


@given(st.text(min_size=1, max_size=1_018).filter(lambda text: len(text.encode("utf-8", "replace")) <= 1_018))
def test_every_key_fits_s3(path: str) -> None:
    path = path.encode("utf-8", "replace").decode()
    results = keys.ResultKeys(keys.input_path("input/" + path), BATCH)
    for key in (results.output, results.errors, results.receipt, results.manifest, keys.latest(results.path)):
        assert len(key.encode()) <= S3_LIMIT


def test_names_of_objects_sort_like_lines_and_are_read_back() -> None:
    names = [keys.object_name(first, first + 9) for first in (1, 11, 101, 99_999_999)]
    assert names == sorted(names)
    assert keys.object_name(1, 25) == "000000001-000000025.jsonl"
    assert keys.line_range(f"batches/{BATCH}/rounds/1/r1-j1/raw-1/000000001-000000025.jsonl.out") == (1, 25)
    for foreign in ("", "a.jsonl", "1-b.jsonl.out", "manifest.json", "-2.jsonl"):
        assert keys.line_range(foreign) is None


def test_a_job_has_its_own_prefixes() -> None:
    job = keys.BatchKeys(BATCH).job("r12-j3")
    assert job.prefix == f"batches/{BATCH}/rounds/12/r12-j3/"
    assert job.input_object(1, 2).startswith(job.input)
    assert len({job.input, job.raw(1), job.raw(2)}) == 3
    others = (job.raw(1), job.collected(1), job.summary, job.settled, job.checkpoint(3))
    assert not [key for key in others if key.startswith(job.input)], "a backend reads all of the input prefix"
