"""The small parts: tokens and positions, the pixel codec, the flow."""

from __future__ import annotations

import pytest
import torch
from tiny_edits import random

from relation_adapter.model import flow
from relation_adapter.model.codec import PixelCodec
from relation_adapter.model.latents import cloned_ids, pack, position_ids, unpack, with_positions


def test_a_token_is_a_2x2_patch_and_back() -> None:
    latents = random(2, 3, 4, 6)
    tokens = pack(latents)
    assert tokens.shape == (2, 6, 12)
    assert torch.equal(tokens[1, 4], latents[1, :, 2:4, 2:4].flatten())  # row 1, column 1 of a 2 x 3 grid
    assert torch.equal(unpack(tokens, 2), latents)


def test_source_positions_are_the_noisy_ones_again() -> None:
    ids = position_ids(2, 3)
    assert ids.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
    assert torch.equal(cloned_ids(2, 3), torch.cat([ids, ids]))


def test_position_features_tell_every_place_apart_and_do_not_depend_on_the_size() -> None:
    small, large = (with_positions(torch.zeros(1, n * n, 1), n, n, 4)[0, :, 1:] for n in (3, 9))
    assert small.shape == (9, 16) and small.abs().max() <= 1
    assert torch.pdist(large).min() > 0.1
    assert torch.allclose(small[4], large[40], atol=1e-6)  # the centre
    assert with_positions(torch.zeros(1, 4, 1), 2, 2, 0).shape == (1, 4, 1)


def test_the_pixel_codec_loses_nothing() -> None:
    codec, pictures = PixelCodec(4), random(2, 3, 8, 12).clamp(-1, 1)
    posterior = codec.encode(pictures).latent_dist
    assert posterior.mean.shape == (2, 48, 2, 3)
    assert torch.equal(posterior.mode(), posterior.sample())
    assert torch.equal(codec.decode(posterior.mode()).sample, pictures)
    assert torch.equal(codec.decode(posterior.mode(), return_dict=False)[0], pictures)


def test_the_codec_saves_and_loads(tmp_path) -> None:
    PixelCodec(2).save_pretrained(tmp_path)
    assert PixelCodec.from_pretrained(tmp_path).factor == 2


def test_one_euler_step_along_the_true_velocity_reaches_the_picture() -> None:
    picture, start, t = random(2, 5, 3), random(2, 5, 3, seed=1), torch.tensor([0.7, 1.0])
    here = flow.mix(picture, start, t)
    assert torch.equal(here[1], start[1])
    step = here - t[:, None, None] * flow.velocity_target(picture, start)
    assert torch.allclose(step, picture, atol=1e-6)


@pytest.mark.parametrize(("tokens", "shift"), [(256, 0.5), (4096, 1.15), (1536, 0.717), (2048, 0.803), (8192, 1.843)])
def test_the_time_shift_is_flux_s(tokens: int, shift: float) -> None:
    assert flow.time_shift(tokens) == pytest.approx(shift, abs=1e-3)


@pytest.mark.parametrize(("sampling", "median"), [("uniform", 0.5), ("logit_normal", 0.5), ("near_one", 0.875)])
def test_training_times(sampling: str, median: float) -> None:
    times = flow.sample_times(20_000, sampling, torch.Generator().manual_seed(0))
    assert times.min() > 0 and times.max() <= 1
    assert times.median().item() == pytest.approx(median, abs=0.02)
    assert torch.equal(times, flow.sample_times(20_000, sampling, torch.Generator().manual_seed(0)))


def test_a_flow_that_starts_at_the_source_is_trained_at_its_start() -> None:
    times = flow.sample_times(20_000, "start", torch.Generator().manual_seed(0))
    assert (times == 1).float().mean().item() == pytest.approx(0.9, abs=0.01)
    assert times[times < 1].median().item() == pytest.approx(0.875, abs=0.02)
