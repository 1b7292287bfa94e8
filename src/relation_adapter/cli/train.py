"""`relation-adapter train`: a preset into a run folder, or a relation fitted to a pair."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from relation_adapter.cli.edit import open_pair
from relation_adapter.cli.outputs import check_file, make_folders
from relation_adapter.cli.pipelines import check_model, open_pipeline
from relation_adapter.cli.say import quiet_loading, result, say
from relation_adapter.errors import UsageError
from relation_adapter.importing import large_imports


def run(options: Namespace) -> int:
    """Train, or go on; the file of what was trained on stdout."""
    _check_kind(options)
    return _fit(options) if options.from_pair else _train(options)


def _check_kind(options: Namespace) -> None:
    """Either a preset into a folder, or a pair to a file. Raises UsageError."""
    if options.from_pair:
        if options.preset or options.folder or options.overrides:
            given = options.preset or ("--run" if options.folder else "--set")
            raise UsageError(f"{given} does not go with --from-pair; a pair is fitted to a file, -o FILE.safetensors")
        if not options.out:
            raise UsageError("--from-pair needs -o FILE.safetensors, where the relation goes")
    elif not options.preset:
        raise UsageError("nothing to train; name a PRESET, as mini, or give --from-pair BEFORE AFTER")
    elif not options.folder:
        raise UsageError(f"train {options.preset} needs --run FOLDER, where the run is kept")
    elif options.out:
        raise UsageError("--out goes with --from-pair; a run keeps its weights in its folder, --run FOLDER")


def _train(options: Namespace) -> int:
    with large_imports(freeze=True):
        import relation_adapter.train

    quiet_loading()
    options.stopped = "run the same command again to go on"
    for file in relation_adapter.train.run(options.preset, options.overrides, options.folder, say):
        result(file)
    return 0


def _fit(options: Namespace) -> int:
    """Fit, say what came of it, and save it."""
    out = Path(options.out)
    check_file(out, "a LoRA" if options.lora_rank else "a relation", options.force)
    check_model(options)
    pairs = [open_pair(before, after) for before, after in options.from_pair]
    make_folders([out])
    pipe = open_pipeline(options)
    from relation_adapter.model.lora import save_lora
    from relation_adapter.train.tuning import LORA_NAME, Tuning, tune

    given = {"steps": options.fit_steps, "learning_rate": options.fit_rate, "lora_rank": options.lora_rank}
    tuning = Tuning(**{name: value for name, value in given.items() if value})
    tuned = tune(pipe, pairs, tuning, options.name or out.stem, options.instruction, options.exemplar_preparation)
    change = f"{tuned.error_before:.3f} to {tuned.error:.3f} of doing nothing"
    if tuned.helped:
        say(f"on the parts of the pair that were kept out the error went from {change}, in {tuned.step} steps")
    elif options.lora_rank:
        raise UsageError("fitting a LoRA does not help here; nothing is written: edit with --pair, or give more pairs")
    else:
        say("note: fitting does not help here; the relation is saved as `relation` reads it: more pairs may help")
    if options.lora_rank:
        save_lora(pipe.transformer, out, LORA_NAME)
    else:
        tuned.relation.save(out)
    result(out)
    return 0
