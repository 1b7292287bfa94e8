"""A question asked until something comes of it, and never again."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

from relation_adapter.errors import VlmError
from relation_adapter.vlm.desk import Desk
from relation_adapter.vlm.journal import Journal
from relation_adapter.vlm.prompts import Prompt
from relation_adapter.vlm.schema import Schema, parse
from relation_adapter.vlm.server import Passing, Rejected, Reply, Server, likely_cost
from relation_adapter.vlm.spending import Budget

Kind = Literal["answered", "refused", "bad", "unanswered"]

KEPT_CHARACTERS = 20_000


@dataclass(frozen=True)
class Question:
    """A prompt about pictures.

    pictures: what identifies them, as a hash of their files and of how they are shown. images: called when the
    question is really asked. text: the prompt with its words filled in. about: kept in the journal for people to read.
    """

    prompt: Prompt
    schema: Schema
    pictures: str
    images: Callable[[], Sequence[Image.Image]]
    text: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The text that is sent."""
        return self.prompt.text if self.text is None else self.text

    def key(self, model: str) -> str:
        """Equal for equal pictures, words, shape of the reply and model."""
        parts = [model, self.words, self.schema, self.pictures]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Outcome:
    """What a question came to: `answered` with values; `refused` by the model or its server; `bad`, where no reply had
    the right shape; `unanswered`, where the server failed, or a replay does not hold it. why: in words.
    """

    kind: Kind
    values: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    reply: str = ""
    replayed: bool = False


@dataclass(frozen=True)
class Limits:
    """How a server is treated.

    per_minute: most requests. tries: requests a question, where the server fails; bad_tries: replies of a wrong shape.
    first_wait, longest_wait: seconds between tries, doubling, where the server asks for none. patience: the longest
    wait that a server may ask for. failures: questions in a row without an answer before all is stopped.
    """

    per_minute: float | None = None
    tries: int = 6
    bad_tries: int = 3
    first_wait: float = 1.0
    longest_wait: float = 60.0
    patience: float = 600.0
    failures: int = 10
    budget: Budget = field(default_factory=Budget)


class Vlm:
    """A model behind a server and a journal, or the journal alone; may be shared by threads."""

    def __init__(
        self,
        journal: Journal | Desk,
        server: Server | None,
        model: str,
        limits: Limits | None = None,
        again: Sequence[Kind] = (),
    ) -> None:
        """journal: or the desk of others, who then keep budget and pace together. server: None replays.

        again: kinds of outcome in the journal that are to be asked once more.
        """
        self.server, self.model, self.again = server, model, again
        self.limits = limits or Limits()
        limits = self.limits
        self.desk = journal if isinstance(journal, Desk) else Desk(journal, limits.budget, limits.per_minute)

    @property
    def journal(self) -> Journal:
        """Of the desk."""
        return self.desk.journal

    def ask(self, images: Sequence[Image.Image], prompt: Prompt, schema: Schema) -> dict[str, Any]:
        """The reply to one prompt about pictures. Raises VlmError where there is none."""
        pictures = hashlib.sha256(b"".join(repr(one.size).encode() + one.convert("RGB").tobytes() for one in images))
        outcome = self.outcome(Question(prompt, schema, pictures.hexdigest(), lambda: images))
        if outcome.kind != "answered":
            raise VlmError(f"{self.model} gives no answer: {outcome.kind}: {outcome.why}")
        return dict(outcome.values)

    def known(self, question: Question) -> Outcome | None:
        """What the journal holds; None where the question is still to be asked."""
        row = self.desk.final(question.key(self.model))
        if row is None or row["event"] in self.again:
            return None
        return Outcome(row["event"], row.get("values") or {}, row.get("why", ""), row.get("reply", ""), replayed=True)

    def outcome(self, question: Question) -> Outcome:
        """What the journal holds, or else what the server says now, kept in the journal before this returns.

        Raises VlmError where no question can be answered any more; what `question.images` raises; Stopped.
        """
        # The same pair may come twice: its second question waits for the answer to the first.
        with self.desk.alone(question.key(self.model)):
            known = self.known(question)
            if known is not None:
                return known
            if self.server is None:
                return Outcome("unanswered", why="not in the journal")
            outcome = self._asked(question, self.server)
        failed = self.desk.came(to_nothing=outcome.kind == "unanswered")
        if failed >= self.limits.failures:
            raise VlmError(
                f"{failed} questions in a row went unanswered, the last with {outcome.why}; what was "
                "answered is kept: see to the server and run the same again"
            )
        return outcome

    def stop(self) -> None:
        """Whoever waits for a turn gives up; replies under way are still taken."""
        self.desk.stop()

    def _asked(self, question: Question, server: Server) -> Outcome:
        images = question.images()
        cost = likely_cost([image.size for image in images], question.words, server.options)
        key, failed, bad = question.key(self.model), 0, 0
        while True:
            try:
                with self.desk.request(cost):
                    reply = self._sent(question, key, images, server)
                    outcome = _read(reply, question.schema)
                    final = outcome.kind != "bad" or bad + 1 >= self.limits.bad_tries
                    self._keep(question, key, reply.counted(cost), outcome, final)
                if final:
                    return outcome
                bad += 1
            except Passing as error:
                failed += 1
                self.desk.add("again", key, why=str(error))
                if failed >= self.limits.tries:
                    return Outcome("unanswered", why=str(error))
                self._rest(key, failed, error)
            except Rejected as error:
                outcome = Outcome("refused" if error.refusal else "unanswered", why=str(error))
                self._keep(question, key, None, outcome, error.refusal)
                return outcome

    def _sent(self, question: Question, key: str, images: Sequence[Image.Image], server: Server) -> Reply:
        self.desk.turn()
        self.desk.add("asked", key)
        return server.send(images, question.words, question.schema)

    def _keep(self, question: Question, key: str, reply: Reply | None, outcome: Outcome, final: bool) -> None:
        row: dict[str, Any] = {"model": self.model}
        if reply is not None:
            row |= {"answered_by": reply.model, "input_tokens": reply.spent.input_tokens}
            row |= {"output_tokens": reply.spent.output_tokens}
        row |= {"prompt": {"name": question.prompt.name, "sha256": question.prompt.sha256}, "about": question.about}
        row |= {"values": outcome.values} if outcome.kind == "answered" else {"why": outcome.why}
        row["reply"] = outcome.reply
        self.desk.add(outcome.kind if final else "again", key, at=int(time.time()), **row)

    def _rest(self, key: str, failed: int, error: Passing) -> None:
        if error.wait is not None:
            if error.wait > self.limits.patience:
                raise VlmError(
                    f"the server asks to wait {error.wait:,.0f} s ({error}); what was answered is kept: run the same "
                    "again then"
                ) from error
            self.desk.hold(error.wait)
        most = min(self.limits.longest_wait, self.limits.first_wait * 2 ** (failed - 1))
        self.desk.pause(most * random.Random(f"{key} {failed}").uniform(0.5, 1))


def _read(reply: Reply, schema: Schema) -> Outcome:
    kept = reply.text[:KEPT_CHARACTERS].encode(errors="replace").decode()  # half a character is no text
    if reply.refusal or reply.finish == "content_filter":
        return Outcome("refused", why=reply.refusal or "content filter", reply=kept)
    if reply.finish == "length":
        return Outcome("bad", why="cut off: the reply is longer than the server or max_tokens allows", reply=kept)
    try:
        return Outcome("answered", parse(reply.text, schema), reply=kept)
    except ValueError as error:
        return Outcome("bad", why=str(error), reply=kept)
