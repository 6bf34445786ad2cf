"""Somebody with a key, who calls the function `api` in process."""

import json
from dataclasses import dataclass
from typing import Any

from fakes.stack import Stack
from fakes.world import jsonl, request
from slacktide import wiring

OPENAI, TOGETHER = "/openai/v1", "/v1"
FILE = jsonl(request("a"), request("b"), b"nonsense")
CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Answer:
    """What a call is answered with."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        return self.body["error"]["code"]


@dataclass(frozen=True)
class Client:
    """Somebody with a key."""

    stack: Stack
    key: str

    def send(
        self, method: str, path: str, body: str | None = None, query: dict[str, str] | None = None, **headers: str
    ) -> Answer:
        """A call with a body as it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} | {"Authorization": f"Bearer {self.key}"}
        event = {"httpMethod": method, "path": path, "headers": named, "body": body, "requestContext": {}}
        answer = self.stack.call("api", event | {"queryStringParameters": query})
        found = {name: value for name, (value,) in answer["multiValueHeaders"].items()}
        return Answer(answer["statusCode"], found, json.loads(answer["body"]))

    def ask(self, method: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Answer:
        return self.send(method, path, json.dumps(body) if body is not None else None, query)

    def form(self, path: str, parts: str) -> Answer:
        """A form: its parts, with `\\n` for the ends of lines."""
        body = f"--b\n{parts}\n--b--\n".replace("\n", "\r\n")
        return self.send("POST", path, body, Content_Type="multipart/form-data; boundary=b")

    def upload(self, content: bytes = FILE) -> str:
        parts = 'Content-Disposition: form-data; name="purpose"\n\nbatch\n--b\n'
        parts += f'Content-Disposition: form-data; name="file"; filename="a.jsonl"\n\n{content.decode()}'
        answer = self.form(f"{OPENAI}/files", parts)
        assert answer.status == 200, answer
        return answer.body["id"]

    def create(self, **more: object) -> str:
        answer = self.ask("POST", f"{OPENAI}/batches", {"input_file_id": self.upload(), "endpoint": CHAT, **more})
        assert answer.status == 200, answer
        return answer.body["id"]

    def run(self) -> str:
        """A batch that has ended; answers its id."""
        batch_id = self.create()
        self.go_on()
        assert self.batch(batch_id)["status"] == "completed"
        return batch_id

    def go_on(self) -> str:
        """Have what was created validated and run; answers its message, with all that the queue says of it."""
        url = wiring.settings().input_queue_url
        (message,) = self.stack.sqs.receive_message(QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])[
            "Messages"
        ]
        self.stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert self.stack.call("validate", self.stack.message(message["Body"])) == {"batchItemFailures": []}
        self.stack.run()
        return json.dumps(message)

    def batch(self, batch_id: str) -> dict[str, Any]:
        answer = self.ask("GET", f"{OPENAI}/batches/{batch_id}")
        assert answer.status == 200, answer
        return answer.body
