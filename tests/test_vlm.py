"""A model is asked over a real server on this machine, which misbehaves as real ones do."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_vlm import FakeVlm, serving
from samples import noise

from relation_adapter.errors import InputError, MissingExtraError, UsageError, VlmError
from relation_adapter.vlm import (
    Budget,
    Limits,
    Outcome,
    Price,
    Question,
    Server,
    ServerOptions,
    Spent,
    Vlm,
    load_prompt,
    object_schema,
    open_journal,
)
from relation_adapter.vlm.journal import Places
from relation_adapter.vlm.prompts import FOLDER
from relation_adapter.vlm.schema import parse
from relation_adapter.vlm.server import _retry_after

SCHEMA = object_schema(text={"type": "string"}, yes={"type": "boolean"})
QUICK = Limits(first_wait=0.01)


@contextmanager
def model(folder: Path, fake: FakeVlm, limits: Limits = QUICK, again: Any = (), **options: Any) -> Iterator[Vlm]:
    server = Server(ServerOptions("m", fake.url, **{"timeout": 0.5, **options}), key="secret")
    with open_journal(folder / "journal") as journal:
        yield Vlm(journal, server, "m", limits, again)


def question(number: int = 0) -> Question:
    return Question(load_prompt("annotate"), SCHEMA, str(number), lambda: [noise(8, 8, number)])


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal" / "answers.jsonl").read_text().splitlines()]


def test_a_reply_is_checked_kept_and_never_asked_for_again(tmp_path: Path) -> None:
    with serving(FakeVlm()) as fake:
        with model(tmp_path, fake) as vlm:
            first = vlm.outcome(question())
        with model(tmp_path, fake) as vlm:
            again = vlm.outcome(question())
            assert vlm.outcome(question(1)).kind == "answered"
    assert first.kind == again.kind == "answered" and first.values == again.values
    assert (first.replayed, again.replayed) == (False, True)
    assert len(fake.bodies) == 2
    row = events(tmp_path)[1]
    assert row["prompt"] == {"name": "annotate", "sha256": load_prompt("annotate").sha256}
    assert (row["answered_by"], row["input_tokens"], row["output_tokens"]) == ("m-2026-01-01", 500, 50)


def test_what_is_sent(tmp_path: Path) -> None:
    with serving(FakeVlm()) as fake, model(tmp_path, fake, request={"max_tokens": None, "top_p": 0.5}) as vlm:
        assert vlm.ask([noise(8, 8)], load_prompt("annotate"), SCHEMA).keys() == {"text", "yes"}
    (body,) = fake.bodies
    picture, text = body["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,") and "left half" in text["text"]
    assert body["response_format"]["json_schema"] == {"name": "reply", "strict": True, "schema": dict(SCHEMA)}
    assert (body["temperature"], body["top_p"], "max_tokens" in body) == (0, 0.5, False)


@pytest.mark.parametrize("trouble", ["429", "500", "slow", "cut off", "not JSON", "wrong shape"])
def test_trouble_that_passes_is_waited_for(tmp_path: Path, trouble: str) -> None:
    with (
        serving(FakeVlm(trouble=1, troubles=(trouble,), slow=0.6, retry_after="0.01")) as fake,
        model(tmp_path, fake, timeout=0.3) as vlm,
    ):
        assert vlm.outcome(question()).kind == "answered"
        assert vlm.journal.spent.requests == len(fake.bodies) == 3
    assert [row["event"] for row in events(tmp_path)] == ["asked", "again"] * 2 + ["asked", "answered"]


@pytest.mark.parametrize(
    ("always", "kind", "requests", "why"),
    [
        ("refusal", "refused", 1, "I cannot help with this picture."),
        ("filtered", "refused", 1, "not this picture"),
        ("not JSON", "bad", 3, "not JSON"),
        ("wrong shape", "bad", 3, "no 'text'; an unknown 'caption'"),
        ("too long", "bad", 3, "cut off"),
        ("500", "unanswered", 6, "500: .*it is 500"),
        ("not HTTP", "unanswered", 6, "http"),
        ("web page", "unanswered", 6, "no chat completion"),
        ("empty object", "unanswered", 6, "no chat completion"),
        ("error with 200", "unanswered", 6, "the server behind is busy"),
        ("422", "unanswered", 1, "it is 422; where it knows no schemas, try another --reply-format"),
    ],
)
def test_trouble_that_stays_is_told(tmp_path: Path, always: str, kind: str, requests: int, why: str) -> None:
    with serving(FakeVlm(always=always)) as fake, model(tmp_path, fake) as vlm:
        outcome = vlm.outcome(question())
        assert outcome.kind == kind and len(fake.bodies) == requests
        assert re.search(why, outcome.why)
        vlm.outcome(question())
        assert len(fake.bodies) == requests * (2 if kind == "unanswered" else 1)


def test_a_fence_around_the_reply_is_passed_over(tmp_path: Path) -> None:
    with serving(FakeVlm(always="fenced")) as fake, model(tmp_path, fake) as vlm:
        assert vlm.outcome(question()).kind == "answered"


def test_what_was_set_aside_is_asked_again_on_demand(tmp_path: Path) -> None:
    with serving(FakeVlm(always="refusal")) as fake:
        with model(tmp_path, fake) as vlm:
            assert vlm.outcome(question()).kind == "refused"
        fake.always = None
        with model(tmp_path, fake, again=("refused", "bad")) as vlm:
            assert vlm.outcome(question()).kind == "answered"
        with model(tmp_path, fake) as vlm:
            again = vlm.outcome(question())
            assert (again.kind, again.replayed) == ("answered", True) and json.loads(again.reply) == again.values


@pytest.mark.parametrize(
    ("always", "remedy"),
    [
        ("401", "set OPENAI_API_KEY"),
        ("403", "see to the account"),
        ("404", "check --vlm and --base-url"),
        ("no quota", "see to the account"),
    ],
)
def test_a_server_that_cannot_be_used_stops_all_at_once(tmp_path: Path, always: str, remedy: str) -> None:
    with serving(FakeVlm(always=always)) as fake, model(tmp_path, fake) as vlm:
        with pytest.raises(VlmError, match=remedy) as caught:
            vlm.outcome(question())
        assert len(fake.bodies) == 1
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_server_that_is_gone_is_not_asked_for_ever(tmp_path: Path) -> None:
    with serving(FakeVlm()) as fake:
        pass
    with model(tmp_path, fake, Limits(tries=2, first_wait=0.001, failures=3)) as vlm:
        assert [vlm.outcome(question(number)).kind for number in range(2)] == ["unanswered"] * 2
        with pytest.raises(VlmError, match=r"3 questions in a row went unanswered.*refused"):
            vlm.outcome(question(2))


def test_all_wait_as_long_as_the_server_says(tmp_path: Path) -> None:
    fake = FakeVlm(trouble=1, troubles=("429",), retry_after="1")
    fake.behaviour = lambda key, count: "429" if len(fake.keys) == 1 else "well"  # type: ignore[method-assign]
    with serving(fake), model(tmp_path, fake) as vlm:
        first = threading.Thread(target=vlm.outcome, args=(question(),))
        first.start()
        while not fake.did["429"]:
            time.sleep(0.005)
        time.sleep(0.1)
        vlm.outcome(question(1))
        first.join()
    assert min(fake.times[1:]) - fake.times[0] >= 1


def test_a_wait_that_is_too_long_ends_the_work(tmp_path: Path) -> None:
    with (
        serving(FakeVlm(always="429", retry_after="7200")) as fake,
        model(tmp_path, fake) as vlm,
        pytest.raises(VlmError, match="asks to wait 7,200 s"),
    ):
        vlm.outcome(question())


def test_forms_of_retry_after() -> None:
    assert _retry_after({"retry-after": "3"}) == 3
    assert _retry_after({"retry-after-ms": "250", "retry-after": "3"}) == 0.25
    assert _retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert 3000 < (
        _retry_after({"retry-after": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))}) or 0
    )
    assert _retry_after({}) is _retry_after({"retry-after": "soon"}) is _retry_after({"retry-after-ms": "x"}) is None


def test_the_pace_is_kept_by_all_threads_together(tmp_path: Path) -> None:
    with serving(FakeVlm()) as fake, model(tmp_path, fake, Limits(per_minute=600)) as vlm:
        threads = [threading.Thread(target=vlm.outcome, args=(question(number),)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(fake.times) - min(fake.times) >= 5 * 0.1 - 0.1  # when a request arrives, a busy machine blurs


@pytest.mark.parametrize(
    ("budget", "answers"),
    [
        (Budget(requests=5), 5),
        (Budget(requests=0), 0),
        (Budget(tokens=3900), 5),  # 550 each; one that may cost some 1,250 has to fit
        (Budget(money=1, price=Price(1000, 10000)), 0),  # the longest reply alone may cost 10
        (Budget(money=20, price=Price(1000, 10000)), 10),
    ],
)
def test_no_budget_is_passed_also_by_many_threads_and_over_many_runs(
    tmp_path: Path, budget: Budget, answers: int
) -> None:
    got: list[Outcome] = []

    def ask(vlm: Vlm, number: int) -> None:
        try:
            got.append(vlm.outcome(question(number)))
        except VlmError as error:
            assert "budget of" in str(error)

    with serving(FakeVlm(seconds=0.02)) as fake:
        for run in range(2):
            with model(tmp_path, fake, Limits(budget=budget)) as vlm:
                threads = [threading.Thread(target=ask, args=(vlm, 20 * run + number)) for number in range(12)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert budget.excess(vlm.journal.spent) is None
    assert len(got) == len(fake.bodies) == answers


def test_tokens_are_guessed_where_the_server_counts_none(tmp_path: Path) -> None:
    with serving(FakeVlm(usage=False)) as fake, model(tmp_path, fake) as vlm:
        vlm.outcome(question())
        assert vlm.journal.spent.input_tokens > 100 and vlm.journal.spent.output_tokens > 10


def test_a_journal_cut_short_loses_its_last_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "answers.jsonl"
    with serving(FakeVlm()) as fake:
        with model(tmp_path, fake) as vlm:
            kept = vlm.outcome(question()).values
            vlm.outcome(question(1))
        path.write_bytes(path.read_bytes()[:-20])
        with model(tmp_path, fake) as vlm:
            assert vlm.outcome(question()).values == kept
            assert not vlm.outcome(question(1)).replayed
        with open_journal(tmp_path / "journal", writing=False) as journal:
            assert journal.spent == Spent(3, 1000, 100)


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"before": "a.png"}\n')
    with pytest.raises(InputError, match=r"answers\.jsonl:1: not a line of a journal"), open_journal(tmp_path):
        pass
    assert path.read_text() == '{"before": "a.png"}\n'


def test_places_of_many_keys_are_found_and_replaced() -> None:
    places, rng = Places(4), random.Random(0)
    keys = [
        f"{number:016x}{rng.getrandbits(64):016x}" for number in [0, 1, *(rng.getrandbits(64) for _ in range(3000))]
    ]
    for round_ in range(2):
        for number, key in enumerate(keys[1:]):
            places.set(key, number + round_)
    assert [places.get(key) for key in keys[1:]] == list(range(1, len(keys)))
    assert places.get("f" * 32) is None


def test_one_process_a_journal(tmp_path: Path) -> None:
    folder = f"Path({str(tmp_path)!r})"
    code = f"from relation_adapter.vlm.journal import *\nwith open_journal({folder}): pass"
    with open_journal(tmp_path):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode and "another process" in done.stderr


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        ('{"text": "a", "yes": "true"}', "'yes' is no boolean"),
        ('{"text": 3, "yes": true}', "'text' is no string"),
        ('{"text": "  ", "yes": true}', "'text' is blank"),
        ('{"text": "\\ud800", "yes": true}', "no text"),
        ('{"text": "a", "yes": true, "more": 1}', "unknown 'more'"),
        ("[1]", "not JSON"),
        ('{"text": ' + "[" * 100_000 + "}", "not JSON"),
    ],
)
def test_replies_of_a_wrong_shape(reply: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse(reply, SCHEMA)


def test_numbers_and_words_of_a_list() -> None:
    schema = object_schema(score={"type": "integer", "enum": [1, 2, 3]}, size={"type": "number"})
    assert parse('<think>{hm}</think> Here: {"score": 2, "size": 1.5}.', schema) == {"score": 2, "size": 1.5}
    for wrong in ('{"score": 4, "size": 1}', '{"score": true, "size": 1}', '{"score": 1, "size": NaN}'):
        with pytest.raises(ValueError, match=r"'(score|size)'"):
            parse(wrong, schema)


def test_prompts_are_text_files_known_by_their_hash(tmp_path: Path) -> None:
    names = {path.stem for path in FOLDER.glob("*.txt")}
    assert {"annotate", "name_task", "second_look"} <= names
    assert len({load_prompt(name).sha256 for name in names}) == len(names)
    (tmp_path / "mine.txt").write_text('Say {instruction} as {"a": 1}')
    assert load_prompt(tmp_path / "mine.txt").with_words(instruction="{x}") == 'Say {x} as {"a": 1}'
    for wrong, why in (("", "holds no prompt"), ("\udcff", "not a prompt")):
        (tmp_path / "wrong.txt").write_bytes(wrong.encode(errors="surrogateescape"))
        with pytest.raises(UsageError, match=why):
            load_prompt(tmp_path / "wrong.txt")
    with pytest.raises(UsageError, match="not a prompt"):
        load_prompt(tmp_path / "none.txt")


def test_no_key_no_address_and_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        Server(ServerOptions("m"))
    with pytest.raises(UsageError, match="is no address"):
        Server(ServerOptions("m", "localhost:8000"))
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'relation-adapter\[vlm\]'"):
        Server(ServerOptions("m", "http://localhost:8000"))
