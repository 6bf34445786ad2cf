"""Looks at the accounts of quotas while a world lives."""

from typing import Any

from fakes.table import FakeTable
from fakes.world import World


class Watch:
    """Looks at all accounts after every transaction. `most` has the most that each ever held."""

    def __init__(self, world: World, limits: dict[str, int]) -> None:
        """`limits` of accounts, by the first word of their names."""
        self.table: FakeTable = world.table
        self.most: dict[str, int] = {}
        self.limits = limits
        make = world.table.transact_write_items

        def watched(**arguments: Any) -> None:
            try:
                make(**arguments)
            finally:
                self.look()

        world.table.transact_write_items = watched  # type: ignore[method-assign]

    def look(self) -> None:
        for key, account in self.accounts().items():
            used, reserved = int(account["used"]), int(account["reserved"])
            assert 0 <= reserved <= used, key
            self.most[key] = max(self.most.get(key, 0), used)
            kind = key.partition(" ")[2].partition("#")[0]
            assert used <= self.limits.get(kind, 10**18), f"{key} has {used}"

    def accounts(self) -> dict[str, Any]:
        return {" ".join(key): item for key, item in self.table.items.items() if "reserved" in item}

    @property
    def nothing_is_reserved(self) -> bool:
        left = [key for key in self.table.items if key[1].startswith("hold#") or key[0].startswith("queue#")]
        return not left and all(account["reserved"] == 0 for account in self.accounts().values())
