"""Calls of the HTTP API that go wrong in rare ways: each is answered with what it is, none with a 500."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fakes.client import CHAT, FILE, OPENAI, TOGETHER, Client
from fakes.stack import Stack
from fakes.world import BUCKET
from slacktide import wiring
from slacktide.access import AccessKeys
from slacktide.batch import DROP_OWNER
from slacktide.ids import FileKind


@pytest.fixture
def client(stack: Stack) -> Client:
    return Client(stack, AccessKeys(stack.table).create("name", "owner", 1, requests_per_second=0)[1])


def remove(stack: Stack, prefix: str) -> None:
    """What a lifecycle rule, or somebody with the rights, does."""
    found = stack.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    assert found, prefix
    for entry in found:
        stack.s3.delete_object(Bucket=BUCKET, Key=entry["Key"])


class TestBadInput:
    @pytest.mark.parametrize("charset", ["nosuch", "rot13", "hex", "punycode", "undefined", "raw_unicode_escape", "utf-16"])
    def test_what_a_part_says_of_its_charset_is_not_believed(self, charset: str, client: Client) -> None:
        parts = f'Content-Disposition: form-data; name="purpose"\nContent-Type: text/plain; charset={charset}\n\nbatch-api\n--b\n'
        parts += 'Content-Disposition: form-data; name="file_name"\n\n\\ud800'
        assert client.form(f"{TOGETHER}/files", parts).status == 302

    @pytest.mark.parametrize("size", [10**14, 10**40 + 1, 9 * 10**200])
    def test_a_size_that_no_table_can_hold(self, size: int, client: Client) -> None:
        wanted = {"file_name": "a", "file_size": size, "num_parts": 1, "purpose": "batch-api"}
        answer = client.ask("POST", f"{TOGETHER}/files/multipart/initiate", wanted)
        assert (answer.status, answer.code) == (400, "invalid_request")

    def test_a_name_that_no_table_can_hold(self, client: Client) -> None:
        wanted = {"input_file_id": client.upload(), "endpoint": CHAT, "metadata": {"": "value"}}
        answer = client.ask("POST", f"{OPENAI}/batches", wanted)
        assert (answer.status, answer.body["error"]["param"]) == (400, "metadata")

    def test_a_ratio_that_no_table_can_hold(self, client: Client) -> None:
        assert client.create(metadata={"max-invalid-ratio": "1e-320"})

    def test_a_word_that_is_none_of_those_it_must_be_is_not_quoted(self, client: Client) -> None:
        answer = client.ask("POST", f"{OPENAI}/batches/{client.create()}/retry", {"classes": ["canary - at `$.x`"]})
        assert answer.status == 400
        assert answer.body["error"]["message"] == "The body cannot be read: Invalid value - at `classes[0]`."

    def test_a_body_that_is_not_base64(self, client: Client) -> None:
        headers = {"Authorization": f"Bearer {client.key}"}
        event = {"httpMethod": "POST", "path": f"{OPENAI}/batches", "headers": headers, "requestContext": {}}
        for text in ("é", "x", "="):
            answer = client.stack.call("api", event | {"body": text, "isBase64Encoded": True})
            assert answer["statusCode"] == 400, text


def test_a_batch_tells_the_name_of_its_input(client: Client, stack: Stack) -> None:
    batch_id = client.run()
    retried = client.ask("POST", f"{OPENAI}/batches/{batch_id}/retry", {"classes": ["invalid_line"]}).body
    client.ask("DELETE", f"{OPENAI}/files/{client.batch(batch_id)['input_file_id']}")
    assert client.batch(batch_id)["input_file_name"] == "a.jsonl", "also when the file was deleted"
    assert retried["input_file_name"] == f"{batch_id}_retry.jsonl"
    client.go_on()
    file = client.ask("GET", f"{OPENAI}/files/{retried['input_file_id']}").body
    assert file["filename"] == retried["input_file_name"]
    stack.call("validate", stack.drop(FILE, "may/b.jsonl"))
    owner = Client(stack, AccessKeys(stack.table).create("drop", DROP_OWNER, 1)[1])
    (dropped,) = owner.ask("GET", f"{OPENAI}/batches").body["data"]
    assert dropped["input_file_name"] == "b.jsonl"


@pytest.mark.parametrize("count", [0, 1])
def test_an_upload_that_was_given_up_stays_so(count: int, client: Client, stack: Stack) -> None:
    """Though its URLs are good for some time yet: `count` is the number of its parts."""
    if count:
        wanted = {"file_name": "a", "file_size": 3, "num_parts": 1, "purpose": "batch-api"}
        file_id = client.ask("POST", f"{TOGETHER}/files/multipart/initiate", wanted).body["file_id"]
    else:
        parts = 'Content-Disposition: form-data; name="purpose"\n\nbatch-api'
        file_id = client.form(f"{TOGETHER}/files", parts).headers["X-Together-File-Id"]
    upload = {"file_id": file_id, "upload_id": file_id}
    assert client.ask("POST", f"{TOGETHER}/files/multipart/abort", upload).status == 200
    etag = stack.s3.put_object(Bucket=BUCKET, Key=f"uploads/{file_id}/000001", Body=b"{}\n")["ETag"]
    answers = [
        client.ask("POST", f"{TOGETHER}/files/{file_id}/preprocess"),
        client.ask("POST", f"{TOGETHER}/files/multipart/complete", upload | {"parts": [{"part_number": 1, "etag": etag}]}),
    ]
    assert [answer.status for answer in answers] == [400, 400]
    assert all("given up" in answer.body["error"]["message"] for answer in answers)


class TestPages:
    def test_a_page_reads_no_more_than_it_needs(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = [client.create(metadata={"number": str(number)}) for number in range(7)][::-1]
        files = [client.batch(batch_id)["input_file_id"] for batch_id in ids]
        read: list[int] = []
        table = wiring.records().table
        query = table.query

        def counted(**arguments: Any) -> Any:
            answer = query(**arguments)
            read.append(len(answer["Items"]))
            return answer

        monkeypatch.setattr(table, "query", counted)
        for path, wanted in ((f"{OPENAI}/batches", ids), (f"{OPENAI}/files", files)):
            found: list[str] = []
            has_more = True
            while has_more:
                after = {"after": found[-1]} if found else {}
                page = client.ask("GET", path, query={"limit": "3", **after}).body
                found += [entry["id"] for entry in page["data"]]
                has_more = page["has_more"]
            assert found == wanted
        assert max(read) == 4


class TestGone:
    """Working data expires, and results may be removed in the bucket."""

    def test_a_batch_without_its_receipt(self, client: Client, stack: Stack) -> None:
        batch_id = client.run()
        assert client.batch(batch_id)["usage"]["total_tokens"] > 0
        remove(stack, "output/")
        batch = client.batch(batch_id)
        assert (batch["status"], batch["usage"]) == ("completed", None)
        for name in ("receipt", "manifest"):
            answer = client.ask("GET", f"{OPENAI}/batches/{batch_id}/{name}")
            assert (answer.status, answer.code) == (404, "content_gone")

    def test_a_batch_without_its_working_data(self, client: Client, stack: Stack) -> None:
        batch_id = client.run()
        parts = f"{OPENAI}/batches/{batch_id}/parts"
        (part,) = client.ask("GET", parts).body["data"]
        remove(stack, f"batches/{batch_id}/lines/")
        answer = client.ask("GET", f"{parts}/{part['id']}")
        assert (answer.status, answer.code) == (404, "content_gone")
        remove(stack, f"batches/{batch_id}/")
        assert client.ask("GET", parts).body["data"] == []
        assert client.ask("GET", f"{parts}/{part['id']}").status == 404

    @pytest.mark.parametrize("what", ["index.json", "faults"])
    def test_a_failed_batch_without_what_was_wrong_with_it(self, what: str, client: Client, stack: Stack) -> None:
        batch_id = client.create(metadata={"on-invalid": "reject"})
        client.go_on()
        assert [error["code"] for error in client.batch(batch_id)["errors"]["data"]] == ["invalid_lines", "invalid_json_line"]
        remove(stack, f"batches/{batch_id}/lines/{what}")
        assert [error["code"] for error in client.batch(batch_id)["errors"]["data"]] == ["invalid_lines"]

    def test_an_estimate_of_a_file_whose_content_is_gone(self, client: Client, stack: Stack) -> None:
        file_id = client.upload()
        for version in stack.s3.list_object_versions(Bucket=BUCKET, Prefix=f"uploads/{file_id}/")["Versions"]:
            stack.s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
        answer = client.ask("GET", f"{OPENAI}/files/{file_id}/estimate")
        assert (answer.status, answer.code) == (404, "content_gone")


class TestAtOnce:
    """Somebody else changes the same thing between the look and the write."""

    def before(self, monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], object]) -> None:
        """Before the next call of the table's method `act` happens."""
        table = wiring.records().table
        real = getattr(table, method)

        def interfered(**arguments: Any) -> Any:
            monkeypatch.setattr(table, method, real)
            act()
            return real(**arguments)

        monkeypatch.setattr(table, method, interfered)

    def test_transactions_that_are_always_in_the_way(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        file_id = client.upload()
        reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
        conflict: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}

        def refuse(**_: Any) -> None:
            raise ClientError(conflict, "TransactWriteItems")

        monkeypatch.setattr("slacktide.transactions.TRIES", 2)
        monkeypatch.setattr(wiring.records().table.meta.client, "transact_write_items", refuse)
        answer = client.ask("POST", f"{OPENAI}/batches", {"input_file_id": file_id, "endpoint": CHAT})
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")

    def test_both_results_are_deleted(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        batch_id = client.run()
        batch = client.batch(batch_id)
        output, errors = (f"{OPENAI}/files/{batch[name]}" for name in ("output_file_id", "error_file_id"))
        self.before(monkeypatch, "update_item", lambda: client.ask("DELETE", output))
        assert client.ask("DELETE", errors).body["deleted"]
        assert wiring.records().get_batch(batch_id).deleted == [FileKind.OUTPUT, FileKind.ERRORS]
        assert [client.ask("GET", path).status for path in (output, errors)] == [404, 404]

    def test_a_result_is_deleted_twice(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        batch_id = client.run()
        output = f"{OPENAI}/files/{client.batch(batch_id)['output_file_id']}"
        self.before(monkeypatch, "update_item", lambda: client.ask("DELETE", output))
        assert client.ask("DELETE", output).status == 404
        assert wiring.records().get_batch(batch_id).deleted == [FileKind.OUTPUT]
