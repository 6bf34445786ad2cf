"""One payload: sent whole to a container, and again as a whole until a try is answered with 2xx or none is left."""

import asyncio
from dataclasses import dataclass

import aiohttp

from slacktide_local.sagemaker.container import Container
from slacktide_local.sagemaker.ledger import Ledger, Payload


@dataclass(frozen=True)
class Invocation:
    """How payloads of one instance are sent: the rules of ModelClientConfig, in seconds."""

    job: str
    instance: int
    container: Container
    headers: dict[str, str]
    timeout: float
    max_retries: int
    retry_delay: float
    ledger: Ledger

    async def send(self, key: str, payload: bytes) -> bytes | None:
        """The answer's body, or None when no try was answered with 2xx.

        Source: ModelClientConfig, and "How Your Container Should Respond to Inference Requests" (developer guide).
        """
        for attempt in range(1, self.max_retries + 2):
            if attempt > 1:
                await asyncio.sleep(self.retry_delay * 2 ** (attempt - 2))
            if self.container.exit_code is not None:
                return None
            status, body = await self._post(payload)
            self.ledger.note_payload(Payload(self.job, key, self.instance, attempt, len(payload), status))
            if status is not None and 200 <= status < 300:
                return body
        return None

    async def _post(self, payload: bytes) -> tuple[int | None, bytes]:
        limit = aiohttp.ClientTimeout(total=self.timeout)
        url = f"{self.container.url}/invocations"
        try:
            async with self.container.session.post(url, data=payload, headers=self.headers, timeout=limit) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return None, b""
