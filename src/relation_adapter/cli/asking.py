"""What every command that asks a vision-language model does with its flags, and tells of the cost."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from tqdm import tqdm

from relation_adapter.cli import far
from relation_adapter.cli.say import say
from relation_adapter.data.annotate_cost import Estimate
from relation_adapter.data.spread import Spread
from relation_adapter.errors import UsageError
from relation_adapter.vlm.asking import Limits, Vlm
from relation_adapter.vlm.desk import Desk
from relation_adapter.vlm.journal import Journal
from relation_adapter.vlm.server import Server, ServerOptions
from relation_adapter.vlm.spending import Budget, Price, Spent

if TYPE_CHECKING:
    from relation_adapter.scale import Cluster
    from relation_adapter.scale.desk import FarDesk

TOLD = 10  # items without an answer that are named one by one
Item = TypeVar("Item")


def check(options: Namespace) -> None:
    """Refuse flags that do not fit together."""
    if options.dry_run and options.replay:
        raise UsageError("give --dry-run or --replay, not both")
    if "money" in options.budget and options.price is None:
        raise UsageError("--budget money=N needs --price IN,OUT, the money for a million tokens")


@dataclass(frozen=True)
class Asking:
    """The model as this process has it; where workers ask, what spreads the questions, and makes theirs."""

    vlm: Vlm
    spread: Spread | None
    make: Callable[[], Vlm] | None


def model(options: Namespace, journal: Journal | Desk, replay: bool = False, key: str | None = None) -> Vlm:
    """The model that the flags name; replay: from the journal alone, as with --replay."""
    server = None if options.replay or replay else Server(server_options(options), key)
    limits = Limits(options.rate, options.tries, first_wait=options.first_wait, budget=_budget(options))
    return Vlm(journal, server, options.vlm, limits, ("refused", "bad") if options.ask_again else ())


@contextmanager
def asking(
    options: Namespace, journal: Journal, workers: Cluster | None, stopping: Callable[[], object]
) -> Iterator[Asking]:
    """Who asks: threads here, or workers, who all come to the desk that is here."""
    vlm = model(options, journal)
    if workers is None:
        yield Asking(vlm, None, None)
        return
    from relation_adapter.scale import served

    def ending() -> None:
        vlm.stop()
        stopping()
        vlm.desk.settle(options.timeout)

    plain = far.plain(options)
    plain.base_url = options.base_url or os.environ.get("OPENAI_BASE_URL") or None
    with served(vlm.desk, workers.host) as desk:
        make = partial(_far_model, plain, desk, os.environ.get("OPENAI_API_KEY"))
        yield Asking(vlm, partial(workers.spread, at_once=options.threads, ending=ending), make)


def _far_model(options: Namespace, desk: FarDesk, key: str | None) -> Vlm:
    return model(options, desk, key=key)


def server_options(options: Namespace) -> ServerOptions:
    """Which server, and how it is asked."""
    return ServerOptions(options.vlm, options.base_url, options.timeout, options.reply_format, dict(options.request))


def _budget(options: Namespace) -> Budget:
    requests, tokens = (options.budget.get(kind) for kind in ("requests", "tokens"))
    return Budget(
        None if requests is None else int(requests),
        None if tokens is None else int(tokens),
        options.budget.get("money"),
        None if options.price is None else Price(*options.price),
    )


def tell(told: Estimate, journal: Journal, options: Namespace) -> None:
    """What a dry run has found."""
    say(f"{told.rows:,} rows; {told.known:,} questions are answered in the journal{_unusable(told)}")
    say(f"to ask, were none to fail: {cost_text(told.cost, options)}, {_basis(told)}{_time(told.cost, options)}")
    say(f"spent before: {cost_text(journal.spent, options)}")


def _unusable(told: Estimate) -> str:
    return f"; {told.unusable:,} rows have a picture that cannot be read" if told.unusable else ""


def _basis(told: Estimate) -> str:
    if not told.measured:
        return "by guess: a token is 28x28 pixels or three letters"
    return f"{told.measured:,} of them by what answers have cost so far"


def _time(cost: Spent, options: Namespace) -> str:
    return f"; at least {cost.requests / options.rate:,.1f} minutes at this rate" if options.rate else ""


def cost_text(spent: Spent, options: Namespace) -> str:
    """Requests, tokens and, where the price is known, money."""
    money = f", {Price(*options.price).of(spent):,.2f} in money" if options.price else ""
    return f"{spent.requests:,} requests, {spent.input_tokens:,} tokens in and {spent.output_tokens:,} out{money}"


def difference(now: Spent, before: Spent) -> Spent:
    """What was spent in between."""
    return Spent(
        now.requests - before.requests,
        now.input_tokens - before.input_tokens,
        now.output_tokens - before.output_tokens,
    )


class Progress(Generic[Item]):
    """The bar moves, and the first items that got no answer are named."""

    def __init__(self, bar: tqdm, trouble: Callable[[Item], str | None]) -> None:
        """trouble: what is told of an item at once, if anything."""
        self._bar, self._trouble, self._named = bar, trouble, 0

    def __call__(self, item: Item) -> None:
        """One more is done."""
        self._bar.update()
        trouble = self._trouble(item)
        if trouble is not None:
            self._named += 1
            if self._named <= TOLD:
                say(trouble)
            if self._named == TOLD:
                say("further ones are listed at the end")


def stopping() -> Callable[[], object]:
    """What tells, once, that the work ends early."""
    told: list[bool] = []

    def tell_once() -> None:
        if not told:
            told.append(True)
            say("stopping; replies under way are waited for")

    return tell_once
