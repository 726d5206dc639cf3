"""Train a backbone on the study's own images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Augmentation, Backbone, parse
from heteroscope.errors import ConfigError
from heteroscope.stages.command import fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="the backbone as JSON, with its finetune recipe")
    arguments.add_argument("--augmentation", default="null", help="the recipe's augmentation as JSON; null for none")
    arguments.add_argument("--pixels", required=True, type=Path, help="pixels.h5")
    arguments.add_argument("--split", required=True, type=Path, help="split.parquet")
    arguments.add_argument("--split-id", required=True, help="the split's id, for the description of the weights")
    arguments.add_argument("--weights", required=True, type=Path, help="the initial weights file")
    arguments.add_argument("--model", required=True, type=Path, help="weights file to write (.pt)")
    arguments.add_argument("--history", required=True, type=Path, help="table of epochs to write (.csv)")
    arguments.add_argument("--probabilities", required=True, type=Path, help="table to write: what its own head says")
    arguments.add_argument("--summary", required=True, type=Path, help="what the network stands on, to write (.json)")
    arguments.add_argument("--times", required=True, type=Path, help="output: seconds, which no run repeats")
    arguments.add_argument("--logs", type=Path, help="folder for a log of every step (CSV, TensorBoard); none: no logs")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)
    from heteroscope.backbones.weights import read_weights, write_weights
    from heteroscope.store import read_table, write_json, write_table
    from heteroscope.training.finetune import finetune

    spec: Backbone = parse(Backbone, args.spec)
    if spec.finetune is None:
        raise ConfigError("--spec: this backbone has no `finetune` recipe")
    trained = finetune(
        read_weights(args.weights, model=spec.model),
        read_table(args.split),
        split_id=args.split_id,
        pixels=args.pixels,
        recipe=spec.finetune,
        augmentation=parse(Augmentation | None, args.augmentation),
        threads=args.threads,
        output=args.model,
        logs=args.logs,
    )
    write_weights(trained.weights, args.model)
    write_table(trained.history, args.history)
    write_table(trained.probabilities, args.probabilities)
    write_json(trained.summary, args.summary)
    write_json(trained.times, args.times)
    shutil.rmtree(trained.checkpoints)


if __name__ == "__main__":
    run(main)
