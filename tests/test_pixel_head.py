"""The net that every token writes for its own pixels."""

from dataclasses import replace

import pytest
import torch

from relation_adapter.config import MODELS, PIXEL_UNIT, ModelConfig
from relation_adapter.errors import UsageError
from relation_adapter.model import pixel_head
from relation_adapter.model.codec import PixelCodec
from relation_adapter.model.components import build, tiny_design
from relation_adapter.model.latents import pack, unpack

HIDDEN = 4


def with_nets(hidden: int = HIDDEN) -> ModelConfig:
    design = tiny_design("mini")
    wider = replace(design.transformer, out_channels=design.token_channels + PIXEL_UNIT * hidden)
    return replace(design, pixel_hidden=hidden, transformer=wider)


def test_a_net_sees_the_pixel_it_writes() -> None:
    """One unit that reads red and writes green turns every pixel's green by what its own red is, in its own place."""
    picture = torch.rand(1, 3, 8, 16)
    source = pack(PixelCodec(2).encode(picture).latent_dist.mode())
    first = torch.zeros(1, pixel_head.SEEN)
    first[0, 0] = 8.0  # so steep that gelu is 8 times the value
    second = torch.zeros(3, 1)
    second[1, 0] = 1 / 8
    weights = torch.cat([first.flatten(), second.flatten()]).expand(*source.shape[:2], -1)
    out = pixel_head.apply(torch.cat([torch.zeros_like(source), weights], dim=-1), source, 2, 2, 1)
    changed = PixelCodec(2).decode(unpack(out, 2)).sample
    expected = torch.zeros_like(picture)
    expected[:, 1] = torch.nn.functional.gelu(8 * picture[:, 0], approximate="tanh") / 8
    torch.testing.assert_close(changed, expected, atol=1e-5, rtol=0)


def test_detail_is_what_sets_a_pixel_off_from_its_neighbours() -> None:
    """Across the borders of tokens too: of a ramp nothing is left but at the picture's own border."""
    picture = torch.linspace(-1, 1, 16).expand(1, 3, 8, 16).contiguous()
    seen = pixel_head._seen(pack(PixelCodec(2).encode(picture).latent_dist.mode()), rows=2, factor=2)
    by_pixel = pixel_head._to_tokens(seen[:, :, 3:6], 2)
    detail = PixelCodec(2).decode(unpack(by_pixel, 2)).sample
    assert detail[..., 1:-1].abs().max() < 1e-5
    assert detail[..., [0, -1]].abs().min() > 0.01


def test_fresh_nets_bend_at_different_colours_and_change_nothing() -> None:
    components = build(with_nets(), seed=0)
    bias = components.transformer.proj_out.bias
    extra = bias[-PIXEL_UNIT * HIDDEN :]
    assert extra[: HIDDEN * pixel_head.SEEN].unflatten(0, (HIDDEN, -1))[:, -1].unique().numel() == HIDDEN
    assert not extra[HIDDEN * pixel_head.SEEN :].any()


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"pixel_hidden": 8}, "pixel_hidden=8 make"), ({"pixel_factor": 0, "pixel_hidden": HIDDEN}, "set pixel_factor")],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        replace(with_nets(), **changes)


def test_a_model_without_nets_has_as_many_channels_as_before() -> None:
    assert MODELS["published"].token_channels == MODELS["published"].transformer.out_channels
