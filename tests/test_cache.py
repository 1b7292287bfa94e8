"""Features on disk: encoded once, whole, made anew only where stale, and the same to train on as encoders on line."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from samples import noise

from relation_adapter.data.buckets import Buckets, fill
from relation_adapter.data.cache import CacheOptions, Summary, write_cache
from relation_adapter.data.cache_plan import Encoders, make_plan
from relation_adapter.data.cached import FeatureCache
from relation_adapter.data.passes import BucketBatches
from relation_adapter.data.schema import Quad
from relation_adapter.errors import InputError, PictureError, UsageError
from relation_adapter.images import open_picture, picture_size, save_picture
from relation_adapter.model.components import tiny
from relation_adapter.pipeline import RelationPipeline
from relation_adapter.pipeline.encoders import encode_texts, pair_features
from relation_adapter.train.cache_features import encoders, told

CPU = torch.device("cpu")
SMALL = CacheOptions(shard_entries=4)


def make_quads(folder: Path, count: int = 6, text: bool = True) -> list[Quad]:
    """A rotation of `count` pairs; every third is wide."""
    pairs = []
    for n in range(count):
        size = (96, 48) if n % 3 == 0 else (40, 40)
        paths = folder / f"{n}-1.png", folder / f"{n}-2.png"
        for side, path in enumerate(paths):
            if not path.exists():
                save_picture(noise(*size, seed=2 * n + side), path)
        pairs.append(paths)
    return [
        Quad(
            *pairs[n], *pairs[(n + 1) % count], instruction="a hat" if text and n % 2 else None, task="t", split="train"
        )
        for n in range(count)
    ]


def the_encoders(name: str = "mini") -> Encoders:
    return encoders(RelationPipeline.from_components(tiny(name)), CPU)


def write(quads: list[Quad], folder: Path, made: Encoders, options: CacheOptions = SMALL) -> Summary:
    return write_cache(quads, folder, made, options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def counting(made: Encoders, stop: int | None = None) -> tuple[Encoders, Counter[str]]:
    """The same encoders, with how often each was asked; a stop after so many."""
    asked: Counter[str] = Counter()

    def counted(kind: str, encode):  # type: ignore[no-untyped-def]
        def call(given):  # type: ignore[no-untyped-def]
            if asked.total() == stop:
                raise KeyboardInterrupt
            asked[kind] += 1
            return encode(given)

        return call

    return replace(made, encode={kind: counted(kind, encode) for kind, encode in made.encode.items()}), asked


# Buckets


def test_every_picture_finds_a_bucket_of_about_the_area_in_whole_multiples() -> None:
    buckets = Buckets(512 * 512, 16)
    assert buckets.of((1024, 1024)) == (512, 512)
    for size in buckets.sizes:
        assert size[0] % 16 == size[1] % 16 == 0 and 0.9 < size[0] * size[1] / 512**2 < 1.1
        assert (size[1], size[0]) in buckets.sizes and buckets.of(size) == size
    assert buckets.of((20_000, 20))[0] > 900 and buckets.of((1, 900))[0] < buckets.of((1, 900))[1]


def test_a_picture_fills_its_bucket_without_being_stretched() -> None:
    picture = Image.new("RGB", (200, 100), "red")
    picture.paste("blue", (50, 0, 150, 100))
    assert fill(picture, (30, 30)).getcolors() == [(900, (0, 0, 255))]
    exact = noise(48, 32)
    assert fill(exact, (48, 32)).tobytes() == exact.tobytes()


def test_the_size_of_a_turned_picture_is_known_from_its_header(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(30, 20).save(tmp_path / "turned.jpg", exif=exif)
    assert picture_size(tmp_path / "turned.jpg") == (20, 30)


# Writing


def test_all_is_encoded_once_and_the_sizes_are_told_before(tmp_path: Path) -> None:
    made, asked = counting(the_encoders("published"))
    quads = make_quads(tmp_path)
    plan = make_plan(quads, made)
    assert not asked
    done = write(quads, tmp_path / "cache", made)
    assert asked == {"features": 12, "latents": 12, "text": 2} == plan.entries()
    assert (done.encoded, done.found, done.quads, done.problems) == (26, 0, 6, ())
    weigh = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.safetensors"))
    assert 0 < weigh - sum(plan.bytes().values()) < 0.5 * weigh


def test_the_same_again_encodes_nothing_and_changes_nothing(tmp_path: Path) -> None:
    made, asked = counting(the_encoders())
    quads = make_quads(tmp_path)
    write(quads, tmp_path / "cache", made)
    first, before = contents(tmp_path / "cache"), asked.total()
    done = write(quads, tmp_path / "cache", made, replace(SMALL, check=True))
    assert asked.total() == before == done.found and contents(tmp_path / "cache") == first


@pytest.mark.parametrize("stop", [1, 7, 17])
def test_a_stopped_cache_ends_as_one_that_was_not(tmp_path: Path, stop: int) -> None:
    quads = make_quads(tmp_path)
    whole, all_asked = counting(the_encoders())
    write(quads, tmp_path / "whole", whole)
    stopped, asked = counting(the_encoders(), stop)
    with pytest.raises(KeyboardInterrupt):
        write(quads, tmp_path / "stopped", stopped)
    rest, more = counting(the_encoders())
    write(quads, tmp_path / "stopped", rest)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert asked.total() + more.total() <= all_asked.total() + SMALL.shard_entries


def test_only_what_changed_is_encoded_again(tmp_path: Path) -> None:
    quads = make_quads(tmp_path)
    write(quads, tmp_path / "cache", the_encoders())
    save_picture(noise(40, 40, 99), tmp_path / "1-2.png")
    made, asked = counting(the_encoders())
    done = write(quads, tmp_path / "cache", made)
    assert asked == {"features": 1, "latents": 1} and done.encoded == 2
    write(quads, tmp_path / "anew", the_encoders())
    assert contents(tmp_path / "cache") == contents(tmp_path / "anew")


def test_more_quads_need_only_their_own(tmp_path: Path) -> None:
    write(make_quads(tmp_path), tmp_path / "cache", the_encoders())
    made, asked = counting(the_encoders())
    more = make_quads(tmp_path, 20)
    write(more, tmp_path / "cache", made)
    assert asked["features"] == 28
    write(more, tmp_path / "anew", the_encoders())
    assert contents(tmp_path / "cache") == contents(tmp_path / "anew")


def test_another_encoder_encodes_all_again_and_a_strangers_file_stays(tmp_path: Path) -> None:
    quads = make_quads(tmp_path)
    write(quads, tmp_path / "cache", the_encoders())
    (tmp_path / "cache" / "mine.safetensors").write_bytes(b"mine")
    made, asked = counting(the_encoders("published"))
    write(quads, tmp_path / "cache", made)
    assert asked["features"] == 12
    assert (tmp_path / "cache" / "mine.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize("how", ["cut", "flip", "gone"])
def test_a_damaged_shard_is_made_again(tmp_path: Path, how: str) -> None:
    quads = make_quads(tmp_path)
    write(quads, tmp_path / "cache", the_encoders())
    first = contents(tmp_path / "cache")
    shard = min((tmp_path / "cache").glob("latents*.safetensors"))
    data = shard.read_bytes()
    shard.unlink()
    if how != "gone":
        shard.write_bytes(data[:-9] if how == "cut" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    if how != "flip":
        with pytest.raises(InputError, match=r"data cache. again"):
            FeatureCache(tmp_path / "cache")
    write(quads, tmp_path / "cache", the_encoders(), replace(SMALL, check=how == "flip"))
    assert contents(tmp_path / "cache") == first


def test_quads_that_cannot_be_used_are_left_out_and_named(tmp_path: Path) -> None:
    quads = make_quads(tmp_path, 8)
    (tmp_path / "1-1.png").write_bytes(b"no picture")
    broken = (tmp_path / "4-2.png").read_bytes()
    (tmp_path / "4-2.png").write_bytes(broken[:-60])
    save_picture(noise(20, 80), tmp_path / "7-2.png")
    quads[6] = replace(quads[6], target=None)
    done = write(quads, tmp_path / "cache", the_encoders())
    words = "\n".join(done.problems)
    assert "1-1.png: not a picture in a known format" in words and "(2 quads left out)" in words
    assert "4-2.png: damaged or cut short" in words
    assert "7-1.png: no target is known" in words
    assert done.quads == len((tmp_path / "cache" / "quads.jsonl").read_text().splitlines()) == 8 - 2 - 2 - 1
    assert write(quads, tmp_path / "cache", the_encoders()).problems == done.problems
    (tmp_path / "4-2.png").write_bytes(broken)
    assert write(quads, tmp_path / "cache", the_encoders()).quads == 8 - 2 - 1


def test_a_picture_that_was_away_for_a_while_is_encoded_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that failed for a moment left its pictures out for good: the file's bytes were the same afterwards."""
    quads = make_quads(tmp_path)

    def away(path: Path) -> Image.Image:
        if path.name == "3-1.png":
            raise PictureError(f"{path}: cannot be read (Input/output error)")
        return open_picture(path)

    with monkeypatch.context() as patch:
        patch.setattr("relation_adapter.data.cache.open_picture", away)
        assert write(quads, tmp_path / "cache", the_encoders()).quads == 4
    made, asked = counting(the_encoders())
    assert write(quads, tmp_path / "cache", made).quads == 6 and asked.total() == 2
    write(quads, tmp_path / "calm", the_encoders())
    assert contents(tmp_path / "cache") == contents(tmp_path / "calm")


def test_source_and_target_of_other_ratios_do_not_train(tmp_path: Path) -> None:
    quads = make_quads(tmp_path, 4)
    save_picture(noise(20, 80), tmp_path / "2-2.png")
    done = write(quads, tmp_path / "cache", the_encoders())
    assert any("2-2.png: is 20x80, its source 40x40; give two of one ratio (1 quad" in one for one in done.problems)


def test_a_disk_that_is_too_small_is_told_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = counting(the_encoders())
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(UsageError, match="GB are still to be written"):
        write(make_quads(tmp_path), tmp_path / "cache", made)
    assert not asked


# Reading


def test_a_batch_holds_what_the_encoders_gave(tmp_path: Path) -> None:
    components = tiny("published")
    pipe = RelationPipeline.from_components(components)
    quads = make_quads(tmp_path)
    write(quads, tmp_path / "cache", encoders(pipe, CPU))
    cache = FeatureCache(tmp_path / "cache")
    square = quads[1]  # 40x40, as its source and target
    with torch.no_grad():
        opened = [Image.open(path) for path in (square.before, square.after)]
        before, after = pair_features(pipe, [(opened[0], opened[1])], CPU)
        text, pooled = encode_texts(pipe, ["a hat"], CPU)
    bucket = next(size for size in cache.buckets if size[0] == size[1])
    batch = cache.batch(bucket, range(len(cache.buckets[bucket]) // 6))
    at = next(n for n in range(len(batch)) if torch.equal(batch.before[n], before[0]))
    assert torch.equal(batch.after[at], after[0])
    assert batch.text is not None and batch.pooled is not None
    assert torch.equal(batch.text[at], text[0]) and torch.equal(batch.pooled[at], pooled[0])
    assert batch.source.shape[1:3] == (2, 4) and batch.source.shape == batch.target.shape


def test_batches_are_of_one_size_and_a_pass_holds_every_quad(tmp_path: Path) -> None:
    write(make_quads(tmp_path, 14), tmp_path / "cache", the_encoders())
    cache = FeatureCache(tmp_path / "cache")
    one, two = (BucketBatches(cache, 2, 100, seed=3) for _ in range(2))
    assert len({batch.source.shape[-2:] for batch in (one[step] for step in range(one.per_pass))}) == 2
    for turn in range(2):
        steps = range(turn * one.per_pass, (turn + 1) * one.per_pass)
        seen = {tuple(quad.flatten()[:4].tolist()) for step in steps for quad in one[step].before}
        assert len(seen) == len(cache)
    order = [one._shuffled(turn) for turn in range(2)]
    assert str(order[0]) != str(order[1])
    for step in (5, 0, 5):
        assert torch.equal(one[step].target, two[step].target)


def test_a_cache_of_another_model_is_refused(tmp_path: Path) -> None:
    write(make_quads(tmp_path), tmp_path / "cache", the_encoders())
    cache = FeatureCache(tmp_path / "cache")
    design = tiny("mini").design
    cache.check_design(told(design))
    with pytest.raises(UsageError, match="made with exemplar_size=16, the model has 64"):
        cache.check_design(told(replace(design, exemplar_size=64)))
    with pytest.raises(UsageError, match="holds no quads of unseen"):
        FeatureCache(tmp_path / "cache", ["unseen"])
    with pytest.raises(InputError, match="no such file; `data cache` writes it"):
        FeatureCache(tmp_path)
    manifest = json.loads((tmp_path / "cache" / "manifest.json").read_text())
    (tmp_path / "cache" / "manifest.json").write_text(json.dumps(manifest | {"version": 9}))
    with pytest.raises(InputError, match="version 9"):
        FeatureCache(tmp_path / "cache")


def test_a_missing_instruction_is_the_empty_one_or_the_learned_null(tmp_path: Path) -> None:
    quads = make_quads(tmp_path)
    for name, entries in (("published", 2), ("directed", 1)):
        plan = make_plan(quads, the_encoders(name))
        assert plan.entries()["text"] == entries
    assert "text" not in make_plan(quads, the_encoders("mini")).entries()
