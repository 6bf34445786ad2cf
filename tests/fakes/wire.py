"""What lies between a function and the world: counts every external call, and kills the function at one of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec, Protocol, TypeVar

from botocore.exceptions import ClientError

P = ParamSpec("P")
T = TypeVar("T")


class Killed(BaseException):
    """The process of a function is gone: not an Exception, so that no code of a function can live on."""


@dataclass
class Wire:
    """Calls made by functions, in order, as `function:client.call`.

    `kill` is the index of a call and before or after it; `hang` is the index of a call before which others go on, and how.
    """

    calls: list[str] = field(default_factory=list)
    kill: tuple[int, str] | None = None
    hang: tuple[int, Callable[[], None]] | None = None
    function: str | None = None
    killed: str | None = None
    _dead: bool = False

    @contextmanager
    def invocation(self, function: str) -> Iterator[None]:
        """Calls made inside are those of one invocation of `function`; once killed, it makes no further call."""
        self.function, self._dead = function, False
        try:
            yield
        finally:
            self.function, self._dead = None, False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What happens inside is done by others, while the invocation that is under way hangs."""
        function, is_dead = self.function, self._dead
        self.function = None
        try:
            yield
        finally:
            self.function, self._dead = function, is_dead

    def before(self, call: str) -> None:
        """A call is about to be made."""
        if self.function is None:
            return
        if self._dead:
            raise Killed
        self.calls.append(f"{self.function}:{call}")
        self._pull("before")

    def after(self) -> None:
        """The call has been made; its answer is about to be read."""
        if self.function is not None:
            self._pull("after")

    def _pull(self, when: str) -> None:
        if self.hang and (self.hang[0], when) == (len(self.calls) - 1, "before"):
            with self.aside():
                self.hang[1]()
        if self.kill == (len(self.calls) - 1, when):
            self._dead = True
            self.killed = f"{when} {self.calls[-1]}"
            raise Killed


class Wired(Protocol):
    """A fake client whose calls go over a wire."""

    wire: Wire


W = TypeVar("W", bound=Wired)


def external(method: Callable[Concatenate[W, P], T]) -> Callable[Concatenate[W, P], T]:
    """Mark a method of a fake client as a call to the world."""
    name = method.__name__

    @wraps(method)
    def call(self: W, *args: P.args, **kwargs: P.kwargs) -> T:
        self.wire.before(f"{type(self).__name__}.{name}")
        try:
            return method(self, *args, **kwargs)
        finally:
            self.wire.after()

    return call


def refuse(code: str, operation: str = "Call", message: str = "", **more: Any) -> NoReturn:
    """Fail as boto3 does."""
    error: Any = {"Error": {"Code": code, "Message": message}} | more
    raise ClientError(error, operation)
