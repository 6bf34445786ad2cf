"""Receipts and sums of them as a person and a script see them."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_slacktide import BUCKET, FakeSlacktide

from fakes.world import World, jsonl, request
from slacktide_cli import app
from slacktide_cli.costs import DROP_ZONE, NO_TAG, By, Row, read_receipts, sum_costs
from slacktide_cli.errors import ServiceError, UsageError
from slacktide_cli.receipts import describe_costs, dollars, parse_receipt, render_receipt
from slacktide_cli.verbs.costs import CostsDocument, read_since

HALF = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
FULL = "Qwen/QwQ-32B"
LOCAL = "HuggingFaceTB/SmolLM2-135M-Instruct"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["slacktide", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


def make_receipt(*lines: dict[str, Any] | bytes, **options: str) -> dict[str, Any]:
    """The receipt of a batch that ran."""
    return World(has_hosted=True).process(jsonl(*lines), **options).receipt


@pytest.fixture(scope="module")
def receipt() -> dict[str, Any]:
    return make_receipt(request("a", model=HALF), request("b", model=FULL), tag="may")


def parsed(receipt: dict[str, Any]) -> Any:
    return parse_receipt(json.dumps(receipt).encode())


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        ("0", "$0.00"), ("0.00000312", "$0.000003"), ("0.0000001", "less than $0.000001"), ("0.5", "$0.50"), ("0.05", "$0.05"),
        ("1.005", "$1.00"), ("1234.567", "$1,234.57"), ("-0.0312", "-$0.0312"), ("-20", "-$20.00"), (None, "not known"),
    ],
)  # fmt: skip
def test_amounts(amount: str | None, told: str) -> None:
    assert dollars(amount) == told


class TestReceipt:
    def test_the_end_of_a_run_tells_cost_and_saving(self, receipt: dict[str, Any]) -> None:
        # 3 tokens in and 2 out each: 5 x 0.52 and 5 x 1.20 for a million; in real time 5 x 1.04 and 5 x 1.20
        assert describe_costs(parsed(receipt).costs) == (
            "Cost: $0.000009; in real time it would have been $0.000011: $0.000003 saved."
        )

    def test_what_is_not_known_is_said(self) -> None:
        told = describe_costs(parsed(make_receipt(request("a", model=HALF), request("b"))).costs)
        assert told.startswith("Cost: $")
        assert "savings are not known for all of it" in told
        assert describe_costs(None) == "Cost: not known, the receipt has none."

    def test_own_gpus_that_cost_more_have_not_saved(self, receipt: dict[str, Any]) -> None:
        costs = parsed(receipt).costs
        dear = msgspec.structs.replace(costs, cost="1", saved="-0.9")
        assert describe_costs(dear).endswith("$0.90 more than that was spent.")

    def test_it_is_shown_by_model_backend_and_round(self, receipt: dict[str, Any]) -> None:
        told = "\n".join(render_receipt(parsed(receipt)))
        assert f"round 1, together, {HALF}: 1 requests, completed 1" in told
        assert "at $0.52 in, $0.52 out for a million tokens (as of 2026-11-25): $0.000003" in told
        assert "in real time at $1.04 in" in told

    def test_instances_are_shown_by_the_hour(self) -> None:
        told = "\n".join(render_receipt(parsed(make_receipt(request("a")))))
        assert "at 1 x ml.g6.xlarge at $1.127 an hour (as of 2026-09-27): $0." in told
        assert "in real time at a price that is not known: not known; saved not known" in told

    def test_the_verb_reads_a_file_or_its_folder(
        self, receipt: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "receipt.json").write_text(json.dumps(receipt))
        assert call(monkeypatch, "receipt", str(tmp_path)) == 0
        folder = capsys.readouterr().out
        assert call(monkeypatch, "receipt", str(tmp_path / "receipt.json")) == 0
        assert capsys.readouterr().out == folder
        assert receipt["batch_id"] in folder

    def test_a_script_gets_its_money_as_it_stands_there(
        self, receipt: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "receipt.json").write_text(json.dumps(receipt))
        assert call(monkeypatch, "receipt", str(tmp_path), "--json") == 0
        document = json.loads(capsys.readouterr().out)
        fields = ("batch_id", "status", "owner", "tag", "created_at", "costs")
        assert document == {name: receipt[name] for name in fields} | {"v": 1}

    @pytest.mark.parametrize(
        ("content", "told"), [(None, "cannot be read"), ("nonsense", "is no receipt"), ("[]", "is no receipt")]
    )
    def test_what_is_no_receipt_is_told_of(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str | None, told: str
    ) -> None:
        if content is not None:
            (tmp_path / "receipt.json").write_text(content)
        assert call(monkeypatch, "receipt", str(tmp_path)) == 2
        assert told in capsys.readouterr().err

    def test_an_old_receipt_has_no_costs(self) -> None:
        old = parsed({"version": "1", "batch_id": "b", "status": "completed", "jobs": []})
        assert list(render_receipt(old)) == ["b completed", "Cost: not known, the receipt has none."]


@pytest.fixture(scope="module")
def receipts(receipt: dict[str, Any]) -> list[Any]:
    again = receipt | {"batch_id": "batch_2", "owner": "key_1"}
    untagged = make_receipt(request("c", model=FULL), request("d", model=FULL)) | {"batch_id": "batch_3"}
    return [parsed(entry) for entry in (receipt, again, untagged)]


class TestCosts:
    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            (By.TAG, {"may": (2, 4, "0.0000172"), NO_TAG: (1, 2, "0.000012")}),
            (By.MODEL, {HALF: (2, 2, "0.0000052"), FULL: (3, 4, "0.000024")}),
            (By.KEY, {DROP_ZONE: (2, 4, "0.0000206"), "key_1": (1, 2, "0.0000086")}),
        ],
    )
    def test_sums(self, receipts: list[Any], by: By, expected: dict[str, tuple[int, int, str]]) -> None:
        rows = sum_costs(receipts, by)
        assert {row.name: (row.batches, row.requests, row.cost) for row in rows} == expected
        assert [row.cost for row in rows] == sorted((row.cost for row in rows), key=float, reverse=True)

    def test_what_is_not_known_is_no_zero(self) -> None:
        (row,) = sum_costs([parsed(make_receipt(request("a"), request("b")))], By.MODEL)
        assert (row.name, row.complete, row.compared) == (LOCAL, True, False)

    def test_what_a_second_job_of_the_backend_cost_is_not_known(self, receipt: dict[str, Any]) -> None:
        costs = receipt["costs"]
        twice = receipt | {"costs": costs | {"entries": [entry | {"repeated": 1} for entry in costs["entries"]]}}
        (before,), (after,) = sum_costs([parsed(receipt)], By.TAG), sum_costs([parsed(twice)], By.TAG)
        assert (before.complete, before.compared) == (True, True)
        assert (after.cost, after.complete, after.compared) == (before.cost, False, False)

    def test_receipts_are_found_in_the_bucket_by_their_batchs_time(
        self, slacktide: FakeSlacktide, receipt: dict[str, Any]
    ) -> None:
        def put(path: str, **fields: str) -> None:
            body = json.dumps(receipt | fields).encode()
            slacktide.s3.put_object(Bucket=BUCKET, Key=f"output/{path}/receipt.json", Body=body)

        now = datetime.now(UTC)
        put("a.jsonl/batch_new", batch_id="new", created_at=f"{now:%Y-%m-%dT%H:%M:%SZ}")
        put("b/c.jsonl/batch_old", batch_id="old", created_at=f"{now - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}")
        slacktide.s3.put_object(Bucket=BUCKET, Key="output/a.jsonl/batch_new/manifest.json", Body=b"{}")
        found = read_receipts(slacktide.s3, BUCKET, now - timedelta(days=1))
        assert [entry.batch_id for entry in found] == ["new"]
        assert list(read_receipts(slacktide.s3, BUCKET, now + timedelta(days=1))) == []

    def test_an_object_that_is_no_receipt_is_named(self, slacktide: FakeSlacktide) -> None:
        slacktide.s3.put_object(Bucket=BUCKET, Key="output/x/receipt.json", Body=b"nonsense")
        with pytest.raises(ServiceError, match=r"output/x/receipt\.json is no receipt"):
            list(read_receipts(slacktide.s3, BUCKET, datetime(2020, 1, 1, tzinfo=UTC)))

    def test_a_bucket_that_is_not_there(self, slacktide: FakeSlacktide) -> None:
        with pytest.raises(ServiceError, match="reading receipts"):
            list(read_receipts(slacktide.s3, "nowhere", NOW))

    def test_the_verb(
        self,
        slacktide: FakeSlacktide,
        receipt: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        body = json.dumps(receipt | {"created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
        slacktide.s3.put_object(Bucket=BUCKET, Key="output/a.jsonl/b/receipt.json", Body=body)
        assert call(monkeypatch, "costs", "--by", "model", "--bucket", BUCKET) == 0
        assert f"{FULL}: 1 batch, 1 requests, $0.000006, saved $0.00" in capsys.readouterr().out
        assert call(monkeypatch, "costs", "--json", "--bucket", BUCKET) == 0
        told = msgspec.json.decode(capsys.readouterr().out, type=CostsDocument)
        assert [row.name for row in told.rows] == ["may"]
        assert call(monkeypatch, "costs", "--since", "2099-01-01", "--bucket", BUCKET) == 0
        assert "No batch" in capsys.readouterr().out
        assert call(monkeypatch, "costs", "--since", "yesterday", "--bucket", BUCKET) == 2

    @pytest.mark.parametrize(
        ("text", "start"),
        [
            ("30d", NOW - timedelta(days=30)),
            ("24h", NOW - timedelta(hours=24)),
            ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
            ("2026-01-31T22:00:00Z", datetime(2026, 1, 31, 22, tzinfo=UTC)),
            ("2026-01-31T22:00:00+02:00", datetime(2026, 1, 31, 20, tzinfo=UTC)),
        ],
    )
    def test_since(self, text: str, start: datetime) -> None:
        assert read_since(text, NOW) == start

    @pytest.mark.parametrize("text", ["", "d", "1w", "-1d", "999999d", "2026-13-01"])
    def test_a_wrong_since_is_told(self, text: str) -> None:
        with pytest.raises(UsageError, match="give a day"):
            read_since(text, NOW)


def test_the_documented_sums_are_those_of_the_command() -> None:
    example = PAGE.partition("```json costs\n")[2].partition("```")[0]
    document = msgspec.json.decode(example, type=CostsDocument, strict=True)
    assert json.loads(msgspec.json.encode(document)) == json.loads(example)
    assert all(isinstance(row, Row) for row in document.rows)
