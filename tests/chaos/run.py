"""One run: the story is told to a whole Slacktide in process, while everything goes wrong; one Random decides about all of it."""

import heapq
import io
import itertools
import json
import logging
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from chaos.faults import ChaosWire, Network, Secrets, script_batches, script_noise, script_outage
from chaos.story import BATCHES, Drop, make_story
from fakes.backend import Request, drop, fail, succeed
from fakes.hosted_bench import URLS
from fakes.machines import TaskFailedError
from fakes.watch import Watch
from fakes.wire import Killed
from fakes.world import SETTINGS, SWEEP_SECONDS, VISIBILITY_SECONDS, World
from slacktide import intake
from slacktide.backends.api_keys import ApiKey
from slacktide.backends.dialects import OPENAI, TOGETHER
from slacktide.backends.hosted import HostedBatches
from slacktide.backends.protocol import Limits
from slacktide.backends.upstream import Upstream
from slacktide.clock import Clock
from slacktide.keys import cancel_marker
from slacktide.limits import OwnerLimits
from slacktide.log import logger
from slacktide.models import Model, ModelTable, shipped_models
from slacktide.models import Upstream as ModelUpstream
from slacktide.quotas import Pool
from slacktide_fake_together import FakeTogether, Settings

KEY_CANARY = "canary-in-a-key"
LATENESS = 0.1  # of all looks at the clock: the invocation is to come to its end
DEATHS = 12  # executions that die
TURNS = 200_000
LONGEST = 3 * 86_400  # seconds until everything must be over
OPEN = ("manifest.json", "receipt.json", "latest.json")  # what of the results is no line
FIRST_ELSEWHERE = "deepseek-ai/DeepSeek-V3"  # a model whose route begins at the backend openai
RECEIVES = 5  # of one message of the input queue


@dataclass
class ChaosWorld(World):
    """A world in which the invocations are of random length."""

    random: Random = field(default_factory=Random)

    def is_late(self) -> bool:
        return self.random.random() < LATENESS

    @property
    def invocation_clock(self) -> Clock:
        return Clock(self.clock, 0 if self.is_late() else float("inf"))


def models_of_both() -> ModelTable:
    """The shipped models; what Together has, the other hosted backend has too, by another name. One of them goes there first."""
    rows = shipped_models().models.items()
    return ModelTable({name: _add_openai(model) if model.backends.together else model for name, model in rows})


def _add_openai(model: Model) -> Model:
    terms = model.backends.together.terms if model.backends.together else []  # without prices no budget could be kept there
    upstreams = msgspec.structs.replace(model.backends, openai=ModelUpstream(f"o/{model.id}", terms=terms))
    route = ["openai", "together", "sagemaker"] if model.id == FIRST_ELSEWHERE else model.route
    return msgspec.structs.replace(model, backends=upstreams, route=route)


class Run:
    """A seeded run. After `play` everything is over; the checks read what is left."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.random = random = Random(seed)  # noqa: S311 - chaos, no secret
        self.wire = ChaosWire(random=random)
        fallback = random.choice((600, 1_800, 7_200))
        settings = msgspec.structs.replace(SETTINGS, fallback_time=fallback, stuck_time=3_600)
        self.world = ChaosWorld(wire=self.wire, settings=settings, models=models_of_both(), has_hosted=True, random=random)
        self.start = self.world.clock()
        self.agenda: list[tuple[int, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.failures: list[str] = []  # of functions: the text of each, as Lambda would log it
        self.failed: Counter[str] = Counter()
        self.drops: list[Drop] = []
        self.ended_from_outside: list[int] = []  # times at which executions were stopped
        self.awake = 0.0  # seconds that functions have slept
        self.live: list[str] = []  # upstream batches that nobody has ended
        self._patch(monkeypatch)
        self._connect()
        self._limit(Random(seed + 1))  # noqa: S311 - chaos, no secret; its own, so that stories without limits stay what they were
        self.log = io.StringIO()

    # Set-up

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        random = self.random
        letters = "abcdefghijklmnopqrstuvwxyz234567"
        monkeypatch.setattr(intake, "new_batch_id", lambda: "batch_" + "".join(random.choices(letters, k=26)))
        for module in ("upstream", "downloading"):
            monkeypatch.setattr(f"slacktide.backends.{module}.random", random)
        sizes = {
            "assembly.CHECK_EVERY": 20,
            "collection.PART_LINES": 25,
            "parts.PART_LINES": 30,
            "uploads.PART_BYTES": 5_000,
            "dead_letters.SENDERS": 1,
            "planning.MOST_REVIVED": 10,
            "backends.fetching.BLOCK_LINES": 20,
        }
        for name, size in sizes.items():
            monkeypatch.setattr(f"slacktide.{name}", size)
        monkeypatch.setattr("fakes.machines.TURNS", TURNS)

    def _connect(self) -> None:
        random, world = self.random, self.world
        pace = Settings(
            keys=(KEY_CANARY,),
            validating_seconds=random.choice((0, 60)),
            lines_per_second=random.choice((0.003, 0.02, 0.2)),
            aggregating_seconds=random.choice((0, 200)),
            cancelling_seconds=random.choice((0, 0, 400)),
            window_seconds=random.choice((None, None, 5_400)),
            content_redirect=random.random() < 0.5,
        )
        self.fake = FakeTogether(pace, clock=world.clock, seed=random.randrange(10**9))
        self.fake.script(script_batches(random) + script_noise(random))
        self.secrets = Secrets(self.wire, KEY_CANARY)
        self.key = ApiKey(lambda: self.secrets, "arn:secret")
        network = Network(self.fake, self.wire, random, self.sleep, self.later)
        requests = random.choice((15, 50, 10_000))
        for dialect in (TOGETHER, OPENAI):
            upstream = Upstream(dialect.name, URLS[dialect.name], self.key, network, self.sleep, lambda: self.awake)
            world.backends[dialect.name] = HostedBatches(dialect, upstream, world.bucket, requests, world.clock)
        world.backend.limits = Limits(object_lines=random.choice((5, 40)), object_bytes=1_000_000)
        world.backend.answer = self.answer
        world.states.functions = {name: self.watch(name, call) for name, call in world.functions().items()}

    def _limit(self, random: Random) -> None:
        """Pools, so small that jobs are cut and wait; limits of the owner; budgets of some batches."""
        world = self.world
        tokens, most, batches = random.choice((None, 3_000, 40_000)), random.choice((None, 2, 5)), random.choice((None, 4, 12))
        world.pools |= {"together": Pool(tokens, most), "sagemaker": Pool(None, random.choice((None, 2)))}
        dollars = random.choice((None, Decimal(200)))
        world.limits = OwnerLimits(concurrent_batches=batches, tokens_per_day=None, usd_per_month=dollars)
        limits = {"tokens": tokens, "jobs": most, "batches": batches, "month": None if dollars is None else 200_000_000}
        self.accounts = Watch(world, {kind: limit for kind, limit in limits.items() if limit is not None})
        self.options = [
            {
                name: text
                for name, text in {"priority": random.choice(("high", "normal", "low")), "max_cost_usd": budget}.items()
                if text
            }
            for budget in random.choices(("", "", "0.5", "50"), k=BATCHES)
        ]

    def watch(self, name: str, call: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """A function whose failures are noted; one that was killed has lost what it kept in memory."""

        def watched(event: dict[str, Any]) -> dict[str, Any]:
            self.wire.overlap = lambda: self._invoke_again(name, event)
            try:
                return call(event)
            except BaseException as error:
                self.note(error)
                raise

        return watched

    def _invoke_again(self, name: str, event: dict[str, Any]) -> None:
        """A second invocation with the same event, as after a time-out that nobody has seen; nobody reads its answer."""
        with suppress(TaskFailedError):
            self.world.states.invoke(name, event)

    def note(self, error: BaseException) -> None:
        self.failures.append("".join(traceback.format_exception(error)))
        self.failed[type(error).__name__] += 1
        if isinstance(error, Killed):
            self.key.forget()

    def answer(self, request: Request, round_number: int) -> list[bytes]:
        """What the user's own GPUs answer."""
        kinds = self.random.choices((succeed, fail(503, "busy"), fail(400, "no"), drop), (30, 1, 1, 1))
        return kinds[0](request, round_number)

    # Time

    def sleep(self, seconds: float) -> None:
        """A function sleeps. The others do not wait for it, so the clock of the world stands still."""
        self.awake += seconds

    def later(self, seconds: int, act: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (self.world.clock() + seconds, next(self.order), act))

    # The run

    def play(self) -> None:
        """Tell the story to its end."""
        handlers = self._listen()
        try:
            self.drops = make_story(self.random)
            for told, more in zip(self.drops, self.options, strict=True):
                told.metadata.update(more)
            for told in self.drops:
                self.later(told.at, lambda told=told: self._drop(told))
            for _ in range(DEATHS):
                self.later(self.random.randrange(8 * 3_600), self._end_execution)
            for _ in range(self.random.randint(0, 4)):
                self.later(self.random.randrange(6 * 3_600), lambda: self.fake.script(script_outage(self.random)))
            if self.random.random() < 0.5:
                self.later(self.random.randrange(6 * 3_600), self._rotate_key)
            self.later(SWEEP_SECONDS, self._sweep)
            while self._turn():
                assert self.world.clock() < self.start + LONGEST, "the batches do not come to an end"
        finally:
            for handler, listened in handlers:
                listened.removeHandler(handler)
        self.fake.advance()
        self.live = [batch.id for batch in self.fake.service.account.unfinished()]
        self.fake.run_out()  # what goes on running is paid for in the end

    def _listen(self) -> list[tuple[logging.Handler, logging.Logger]]:
        """Everything that is logged, by us or by libraries, as Lambda would keep it."""
        handlers: list[tuple[logging.Handler, logging.Logger]] = []
        for listened in (logging.getLogger(), logging.getLogger("slacktide")):
            handler = logging.StreamHandler(self.log)
            handler.setFormatter(logger.registered_formatter if listened.name == "slacktide" else None)
            listened.addHandler(handler)
            handlers.append((handler, listened))
        return handlers

    def _turn(self) -> bool:
        """What is due next: something of the agenda, or a step of an execution. False when all is over."""
        wakes_at = min((execution.wakes_at for execution in self.world.states.running()), default=None)
        if self.agenda and (wakes_at is None or self.agenda[0][0] <= max(wakes_at, self.world.clock())):
            time, _, act = heapq.heappop(self.agenda)
            self.world.clock.advance_to(time)
            self._stir()
            act()
        elif wakes_at is not None:
            self._stir()
            self.world.states.step()
        return bool(self.agenda or wakes_at is not None)

    def _stir(self) -> None:
        """Small things that change all the time."""
        random, world = self.random, self.world
        world.backend.turns = random.choice((1, 2, 5, 40, 10**6)) if random.random() < 0.1 else 2
        if random.random() < 0.02 and not world.backend.script:
            world.backend.script.append(random.choice(("full", "rejected", "displaced", "crash")))
        if random.random() < 0.01:
            world.bus.refusals = 1
        if random.random() < 0.01 and not world.queue.failures:
            world.queue.failures.append({"0", "3"})

    def _drop(self, told: Drop) -> None:
        event = self.world.drop(told.content, told.path, **told.metadata)
        self._deliver(event, 1)
        if told.repeats_after is not None:
            self.later(told.repeats_after, lambda: self._deliver(event, 1))
        if told.cancel_after is not None:
            self.later(told.cancel_after, lambda: self._cancel(told))

    def _cancel(self, told: Drop) -> None:
        """Put a marker beside the input, or one that names the batch."""
        path = told.path + ".cancel"
        ids = [batch.batch_id for batch in self.world.batches() if batch.input.key == f"input/{told.path}"]
        if told.is_cancelled_by_id and ids:
            path = cancel_marker(ids[0]).removeprefix("input/")
        self._deliver(self.world.drop(b"", path), 1)

    def _deliver(self, event: dict[str, Any], receives: int) -> None:
        """Hand a message to validate; the queue brings it again when that fails, the last time in peace."""
        world = self.world
        world.queue.visibilities.clear()
        self.wire.is_calm = receives >= RECEIVES
        self.wire.overlap = lambda: self._deliver_again(event, receives)
        try:
            self._handle(event, receives)
        except (Exception, Killed) as error:
            self.note(error)
            seconds = world.queue.visibilities[-1] if world.queue.visibilities else VISIBILITY_SECONDS
            if receives < RECEIVES:  # else it is given up, and its batch fails
                self.later(seconds, lambda: self._deliver(event, receives + 1))
        finally:
            self.wire.is_calm = False

    def _handle(self, event: dict[str, Any], receives: int) -> None:
        with self.wire.invocation("validate"):
            record = self.world.record(event, receives)
            self.world.deliveries.handle(record, invocation=f"invocation-{next(self.world.invocations)}")

    def _deliver_again(self, event: dict[str, Any], receives: int) -> None:
        """The queue hands a message out that is being worked on, which it may."""
        try:
            self._handle(event, receives)
        except (Exception, Killed) as error:
            self.note(error)

    def _end_execution(self) -> None:
        running = [execution.name for execution in self.world.states.running()]
        if running:
            self.world.states.stop(self.random.choice(running))
            self.ended_from_outside.append(self.world.clock())

    def _rotate_key(self) -> None:
        """The old key ends at once; the secret has the new one a little later, or just before."""
        new = f"{KEY_CANARY}-2"
        self.fake.rotate_keys([new])
        self.later(self.random.choice((0, 30)), lambda: setattr(self.secrets, "key", new))

    def _sweep(self) -> None:
        try:
            self.world.states.invoke("sweep", {})
        except TaskFailedError:
            self.failed["sweep"] += 1
        with_work = self.agenda or self.world.states.running() or list(self.world.records.open_batches())
        if with_work or list(self.world.records.abandoned_jobs()):
            self.later(SWEEP_SECONDS, self._sweep)

    def said(self) -> dict[str, str]:
        """All that others than the owner of a batch can read, by where it stands."""
        world = self.world
        return {
            "log": self.log.getvalue(),
            "failures": "\n".join(self.failures),
            "events": json.dumps(world.bus.entries),
            "dead letters": json.dumps(world.queue.bodies),
            "payloads": json.dumps(world.states.payloads),
            "executions": json.dumps([[it.name, it.input, it.variables] for it in world.states.executions.values()]),
            "table": repr(world.table.items),
            "status": "".join(str(world.s3.data(key)) for key in world.s3.keys("output/") if key.endswith(OPEN)),
        }
