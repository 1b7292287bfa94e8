"""Importing large libraries leaves the collector as it was."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from relation_adapter.importing import large_imports


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_off_meanwhile_and_then_as_before(on: bool) -> None:
    was_on = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        with pytest.raises(ImportError), large_imports():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == on
    finally:
        (gc.enable if was_on else gc.disable)()


def test_who_uses_the_package_keeps_a_collector() -> None:
    code = (
        "import gc, relation_adapter; relation_adapter.RelationPipeline; print(gc.isenabled(), gc.get_freeze_count())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "0"]
