"""Weights that are one file behind an address: fetched whole or not at all, found where they lie."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from relation_adapter.errors import WeightsError
from relation_adapter.evaluate.weight_files import ALEXNET, INCEPTION, WeightFile, find_file, read_weights
from relation_adapter.hub import Places


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightFile:
    """A file behind an address, and torch's cache in a folder of its own."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    path = tmp_path / "server" / "net.pth"
    path.parent.mkdir()
    torch.save({"weight": torch.ones(3)}, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return WeightFile("net-0.pth", path.as_uri(), checksum[:8], 1, "MIT", others=("also.pth",))


def test_a_file_is_fetched_once_into_torch_s_cache(published: WeightFile, tmp_path: Path) -> None:
    path = find_file(published, Places())
    assert path == tmp_path / "torch" / "checkpoints" / "net-0.pth"
    assert read_weights(path)["weight"].tolist() == [1, 1, 1]
    assert find_file(replace(published, address="file:///nowhere"), Places(offline=True)) == path


def test_a_file_that_is_not_the_published_one_is_not_kept(published: WeightFile, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot be fetched .*hash"):
        find_file(replace(published, sha256="00000000"), Places())
    with pytest.raises(WeightsError, match=r"cannot be fetched .*check the network, or copy it"):
        find_file(replace(published, address="file:///nowhere/net.pth"), Places())
    assert not list((tmp_path / "torch" / "checkpoints").iterdir())


def test_the_folder_of_weights_comes_first_and_knows_other_names(published: WeightFile, tmp_path: Path) -> None:
    find_file(published, Places())
    (tmp_path / "weights").mkdir()
    other = tmp_path / "weights" / "also.pth"
    other.touch()
    assert find_file(published, Places(folder=tmp_path / "weights")) == other
    assert (
        find_file(published, Places(folder=tmp_path / "weights"), str(tmp_path / "server" / "net.pth")).name
        == "net.pth"
    )


def test_the_published_names_hold_the_start_of_their_checksums() -> None:
    for file in (ALEXNET, INCEPTION):
        assert all(name.endswith(f"-{file.sha256}.pth") for name in (file.name, *file.others))
        assert file.address.endswith(f"/{file.name}")
