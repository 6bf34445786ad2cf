"""The parts that the handlers share."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from slacktide_fake_together.account import Account, StoredFile
from slacktide_fake_together.faults import Faults
from slacktide_fake_together.ledger import Ledger
from slacktide_fake_together.messages import ApiError
from slacktide_fake_together.settings import Settings


@dataclass(slots=True)
class Service:
    """One fake service. `clock` answers Unix seconds; with `has_engine` answers come from outside, by `deliver`."""

    settings: Settings
    clock: Callable[[], float]
    random: Random
    account: Account
    faults: Faults
    ledger: Ledger
    keys: set[str]
    has_engine: bool = False

    def find_file(self, file_id: str) -> StoredFile:
        """ApiError 404 when there is none."""
        if file_id not in self.account.files:
            raise ApiError(404, "File not found.", code="not_found")
        return self.account.files[file_id]
