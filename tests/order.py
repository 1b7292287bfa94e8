"""Which files of tests begin first, and which go to one process of `pytest -n`.

The longest ones begin, so that no process is left alone with one at the end; those that share what takes seconds to
start stay together. A file that is not named here comes later, as it comes.
"""

from __future__ import annotations

RAY = ["test_scale.py", "test_scale_jobs.py"]  # one cluster
BROWSER = ["test_web_page.py", "test_web_api.py", "test_web_command.py", "test_web_hostile.py"]
FORKED = [
    "test_train.py",
    "test_train_many.py",
    "test_train_state.py",
    "test_context_parallel.py",
    "test_data_pass.py",
    "test_annotate_process.py",
    "test_judge_process.py",
    "test_import_process.py",
]  # one process that has imported all
TOGETHER = {name: group[0] for group in (RAY, BROWSER, FORKED) for name in group}
OTHERS = [
    "test_procedural.py",
    "test_memory.py",
    "test_filters.py",
    "test_train_designs.py",
    "test_cli_flux_dev.py",
    "test_compiled.py",
    "test_baselines_models.py",
    "test_linear.py",
    "test_train_others.py",
    "test_pipeline.py",
    "test_pipeline_diffusers.py",
    "test_procedural_set.py",
    "test_mini.py",
    "test_fast.py",
    "test_tuning.py",
    "test_frames.py",
    "test_recipes.py",
    "test_train_online.py",
    "test_warps.py",
    "test_lattice.py",
    "test_cartoons.py",
    "test_cells.py",
    "test_stamps.py",
    "test_hues.py",
    "test_planes.py",
    "test_tiles.py",
]
FIRST = (*RAY, *BROWSER, *FORKED, *OTHERS)
PLACE = {name: place for place, name in enumerate(FIRST)}


def place(name: str) -> int:
    """Of a file among all."""
    return PLACE.get(name, len(PLACE))


def group(path: str) -> str:
    """What goes to one process, of a path below the root."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + TOGETHER.get(name, name)
