"""One message of the input queue: handled, put back for later, or given up where its user can see it."""

from dataclasses import dataclass
from typing import Any

from slacktide.cancelling import Canceller
from slacktide.errors import EventError, LeaseHeldError
from slacktide.events import Created, Dropped, Ignored, read_event
from slacktide.intake import Intake
from slacktide.keys import CANCEL_SUFFIX
from slacktide.log import logger
from slacktide.settings import Settings

FIRST_BACK_OFF = 30  # seconds; doubled with every further receive


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Handles messages of the input queue; `queue` is boto3's SQS client."""

    intake: Intake
    canceller: Canceller
    queue: Any
    settings: Settings

    def handle(self, record: dict[str, Any], *, invocation: str) -> None:
        """Handle one SQS record. Raises what went wrong, after it has said when the message may come again."""
        try:
            event = read_event(record["body"], self.settings.bucket)
        except EventError:
            logger.exception("message not understood")  # it comes again, and ends in the input failures queue
            raise
        if isinstance(event, Ignored):
            logger.info("event ignored", reason=event.reason)
            return
        try:
            self._accept(event, invocation)
        except LeaseHeldError as held:
            self._put_back(record, held.until - self.intake.now() + 1)
            raise
        except Exception:
            receives = int(record["attributes"]["ApproximateReceiveCount"])
            logger.exception("input not accepted", receives=receives)
            if receives >= self.settings.receive_limit:
                self._give_up(event)
            self._put_back(record, FIRST_BACK_OFF * 2 ** (receives - 1))
            raise

    def _accept(self, event: Dropped | Created, invocation: str) -> None:
        if isinstance(event, Created):
            self.intake.accept_created(event.batch_id, invocation=invocation)
            logger.info("created batch accepted", batch_id=event.batch_id)
            return
        if event.key.endswith(CANCEL_SUFFIX):
            cancelled = self.canceller.cancel_marked(event.key.removesuffix(CANCEL_SUFFIX), event.seconds)
            logger.info("batches cancelled", batch_ids=cancelled)
            return
        batch_id = self.intake.accept(event, invocation=invocation)
        logger.info("input accepted", batch_id=batch_id)

    def _give_up(self, event: Dropped | Created) -> None:
        if isinstance(event, Created):
            self.intake.give_up_created(event.batch_id)
        elif not event.key.endswith(CANCEL_SUFFIX):
            self.intake.give_up(event)

    def _put_back(self, record: dict[str, Any], seconds: int) -> None:
        self.queue.change_message_visibility(
            QueueUrl=self.settings.input_queue_url,
            ReceiptHandle=record["receiptHandle"],
            VisibilityTimeout=max(0, min(seconds, 43_200)),
        )
