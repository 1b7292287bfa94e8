"""Fetching from a hub: what is fetched, and what every refusal says. The real client against a hub on this machine."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fake_hub
import pytest
from fake_hub import FakeHub, Repo
from hub_samples import ADAPTER, BASE, SIGLIP, adapter_files, base_files, documented, siglip_files, tensors
from huggingface_hub import constants, file_download

from relation_adapter.errors import WeightsError
from relation_adapter.hub import FLUX_DEV, Part, Places, find

COMMIT = Repo({}).commit
DEV = FLUX_DEV["base"].revision
TOKEN = "hf_reader"
USAGE = namedtuple("USAGE", "total used free")
COPIES = {"flux1-dev.safetensors": tensors("copy"), "ae.safetensors": tensors("copy"), "LICENSE.md": b"licence"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """The published repositories on a hub of this machine, and a client without login."""
    repos = {
        BASE: Repo({**base_files(), **COPIES}, commit=DEV, readers={TOKEN}),
        SIGLIP: Repo(siglip_files(), commit=FLUX_DEV["image_encoder"].revision),
        ADAPTER: Repo(adapter_files()),
    }
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "RELATION_ADAPTER_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with fake_hub.serving(FakeHub(repos, tokens={TOKEN, "hf_other"})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-login"))
        yield hub


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(cache=tmp_path / "cache", token=TOKEN)


def refusal(part: Part, places: Places, given: str | None = None) -> str:
    """What a person is told; one line, and docs/bad-input.md shows it."""
    with pytest.raises(WeightsError) as caught:
        find(part, places, given)
    text = str(caught.value)
    assert documented(re.sub(r"http://127[.]0[.]0[.]1:\d+", "https://huggingface.co", text)), text
    return text


# What is fetched


def test_of_the_base_the_folder_alone_is_fetched(hub: FakeHub, places: Places) -> None:
    folder = find(FLUX_DEV["base"], places)
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*.*")} == set(base_files())
    assert (folder / "vae/diffusion_pytorch_model.safetensors").read_bytes() == base_files()[
        "vae/diffusion_pytorch_model.safetensors"
    ]
    assert not set(hub.sent()) & set(COPIES)


def test_every_published_part_is_found_and_the_second_time_nobody_is_asked(hub: FakeHub, places: Places) -> None:
    first = [find(part, places) for part in FLUX_DEV.values()]
    assert [path.name for path in first[2:]] == ["ip_adapter-100000.bin", "pytorch_lora_weights.safetensors"]
    hub.asked.clear()
    assert [find(part, places) for part in FLUX_DEV.values()] == first
    assert not hub.asked


def test_offline_the_cache_is_enough_and_another_revision_of_it_too(hub: FakeHub, places: Places) -> None:
    part = replace(FLUX_DEV["base"], revision="main")  # as other programs fetch it
    fetched = find(part, places)
    hub.asked.clear()
    offline = replace(places, offline=True)
    assert find(FLUX_DEV["base"], offline) == find(part, offline) == fetched
    moved = replace(FLUX_DEV["base"], revision="1" * 40)
    assert find(moved, offline) == fetched
    assert not hub.asked


def test_a_new_revision_with_the_same_files_fetches_none_and_needs_no_room(
    hub: FakeHub, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(FLUX_DEV["image_encoder"], places)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: USAGE(10, 10, 0))
    hub.repos[SIGLIP].commit = "2" * 40
    hub.asked.clear()
    folder = find(replace(FLUX_DEV["image_encoder"], revision="2" * 40), places)
    assert folder.name == "2" * 40
    assert hub.sent() == []


def test_a_hub_id_names_repository_revision_and_file(hub: FakeHub, places: Places) -> None:
    hub.repos["me/looks"] = Repo({"hat.safetensors": tensors("hat"), "deep/snow.safetensors": tensors("snow")})
    lora = FLUX_DEV["lora"]
    assert find(lora, places, "me/looks").name == "hat.safetensors"  # the only one at its root
    assert find(lora, places, f"me/looks@{COMMIT}:deep/snow.safetensors").read_bytes() == tensors("snow")
    hub.repos["me/looks"] = Repo({"hat.safetensors": tensors("hats")}, commit="3" * 40)
    assert find(lora, places, "me/looks").read_bytes() == tensors("hats")  # a branch is asked for anew
    hub.status = 503
    assert find(lora, places, "me/looks").read_bytes() == tensors("hats")  # and may be had without the hub


def test_the_other_published_adapter_is_found_by_its_id_alone(hub: FakeHub, places: Places) -> None:
    files = {"ip-adapter.bin": adapter_files()["ip_adapter-100000.bin"], "ip-adapter-old.bin": b"other"}
    hub.repos["InstantX/FLUX.1-dev-IP-Adapter"] = Repo(files, commit="e44c6d889c951cac03ac806991e8d46c9ce1ddba")
    assert find(FLUX_DEV["adapter"], places, "InstantX/FLUX.1-dev-IP-Adapter").name == "ip-adapter.bin"


def test_the_endpoint_and_the_token_of_the_environment_are_used(hub: FakeHub, tmp_path: Path) -> None:
    code = "from relation_adapter.hub import *; print(find(FLUX_DEV['base'], Places()))"
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "home")


# A download that breaks off


def test_a_connection_that_breaks_off_is_taken_up_where_it_broke(
    hub: FakeHub, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    hub.cuts, hub.cut_at = {"model.safetensors": 2}, 1000
    folder = find(FLUX_DEV["image_encoder"], places)
    assert hub.sent()[-3:] == ["model.safetensors", "model.safetensors from 1000", "model.safetensors from 2000"]
    assert (folder / "model.safetensors").read_bytes() == siglip_files()["model.safetensors"]


def test_one_that_breaks_off_for_good_keeps_the_whole_files(
    hub: FakeHub, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
    hub.cuts, hub.cut_at = {"model.safetensors": 99}, 0
    text = refusal(FLUX_DEV["image_encoder"], places)
    assert "the connection broke off" in text and "the same command goes on" in text
    hub.cuts.clear()
    hub.asked.clear()
    find(FLUX_DEV["image_encoder"], places)
    assert hub.sent() == ["model.safetensors"]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Heard also where a shell started the tests in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_download_and_the_next_goes_on(hub: FakeHub, places: Places) -> None:
    def stop(name: str) -> None:
        if name == "model.safetensors":
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.1)

    hub.before = stop
    with pytest.raises(KeyboardInterrupt):
        find(FLUX_DEV["image_encoder"], places)
    hub.before = lambda name: None
    hub.asked.clear()
    find(FLUX_DEV["image_encoder"], places)
    assert hub.sent() == ["model.safetensors"]


def test_a_file_of_the_cache_that_is_cut_short_is_fetched_anew(hub: FakeHub, places: Places) -> None:
    file = find(FLUX_DEV["image_encoder"], places) / "model.safetensors"
    os.truncate(file, 900)
    assert "cut short" in refusal(FLUX_DEV["image_encoder"], replace(places, offline=True))
    find(FLUX_DEV["image_encoder"], places)
    assert file.read_bytes() == siglip_files()["model.safetensors"]


# Refusals


@pytest.mark.parametrize(
    ("token", "remedy"),
    [(None, "run `hf auth login` or set HF_TOKEN"), ("hf_other", "by the account of this token")],
)
def test_a_licence_not_accepted(hub: FakeHub, places: Places, token: str | None, remedy: str) -> None:
    text = refusal(FLUX_DEV["base"], replace(places, token=token))
    assert f"must be accepted first at {hub.url}/{BASE}" in text and "Non-Commercial" in text
    assert text.endswith(remedy)


def test_a_token_that_the_hub_does_not_know(hub: FakeHub, places: Places) -> None:
    assert "does not know this token" in refusal(FLUX_DEV["base"], replace(places, token="hf_old"))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("me/nothing", "me/nothing: not on the hub, or private"),
        (f"{ADAPTER}@v9", "has no revision v9"),
        (f"{ADAPTER}:other.bin", "has no other.bin at main"),
    ],
)
def test_what_the_hub_does_not_have(hub: FakeHub, places: Places, given: str, text: str) -> None:
    assert text in refusal(FLUX_DEV["adapter"], places, given)


def test_several_files_of_weights_are_named(hub: FakeHub, places: Places) -> None:
    hub.repos["me/copy"] = Repo(adapter_files())
    text = refusal(FLUX_DEV["adapter"], places, "me/copy")
    assert (
        "2 files of weights in it (ip_adapter-100000.bin, pytorch_lora_weights.safetensors); give one, as me/copy:ip"
        in text
    )


def test_a_repository_without_a_model(hub: FakeHub, places: Places) -> None:
    hub.repos["me/empty"] = Repo({"README.md": b"soon"})
    assert "has none of the files of a model" in refusal(FLUX_DEV["base"], places, "me/empty")
    assert "no .safetensors or .bin file" in refusal(FLUX_DEV["lora"], places, "me/empty")


@pytest.mark.parametrize(
    ("status", "text"),
    [(500, "answers 500"), (503, "answers 503"), (429, "asked too often"), (403, "this token may not read it")],
)
def test_a_hub_that_refuses_every_request(hub: FakeHub, places: Places, status: int, text: str) -> None:
    hub.status = status
    assert text in refusal(FLUX_DEV["lora"], places)


def test_what_answers_in_the_place_of_the_hub(hub: FakeHub, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HUGGINGFACE_HEADER_X_REPO_COMMIT", "X-Never-Sent")
    assert "something else answers in the hub's place" in refusal(FLUX_DEV["lora"], places)


def test_a_hub_that_is_slow(hub: FakeHub, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    hub.seconds = 0.4
    assert "too slow to answer" in refusal(FLUX_DEV["lora"], places)


def test_no_way_to_the_hub(hub: FakeHub, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    text = refusal(FLUX_DEV["lora"], places)
    assert "no way to the hub" in text and "folder of weights" in text


@pytest.mark.parametrize("by_environment", [False, True])
def test_offline_and_not_in_the_cache(
    hub: FakeHub, places: Places, by_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by_environment)
    text = refusal(FLUX_DEV["base"], replace(places, offline=not by_environment))
    assert "offline nothing is fetched" in text and "33.7 GB" in text and "as FLUX.1-dev" in text
    assert not hub.asked


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(
    hub: FakeHub, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: USAGE(10, 10, 100))
    text = refusal(FLUX_DEV["lora"], places)
    assert "GB free at" in text and "HF_HOME" in text
    assert hub.sent() == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Data processing error: File reconstruction error: No space left on device (os error 28)"),
    ],
    ids=["http", "xet"],
)
def test_a_disk_that_fills_up(hub: FakeHub, places: Places, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(file_download, "http_get", full)
    assert "the disk is full; make room" in refusal(FLUX_DEV["lora"], places)


def test_a_cache_that_cannot_be_written(hub: FakeHub, places: Places, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    text = refusal(FLUX_DEV["lora"], replace(places, cache=tmp_path / "file"))
    assert "cannot be written" in text and "HF_HOME" in text
