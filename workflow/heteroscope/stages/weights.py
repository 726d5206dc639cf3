"""Make a backbone's initial weights: published, from a file, or random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Backbone, parse
from heteroscope.stages.command import fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--backbone-id", required=True, help="the backbone's key in the configuration")
    arguments.add_argument("--spec", required=True, help="the backbone as JSON")
    arguments.add_argument("--output", required=True, type=Path, help="weights file to write (.pt)")
    args = arguments.parse_args(argv)
    fix_threads(args.threads)
    from heteroscope.backbones.weights import initial_weights, write_weights

    spec: Backbone = parse(Backbone, args.spec)
    weights, key = (spec.finetune.initial, "finetune.initial") if spec.finetune else (spec.weights, "weights")
    made = initial_weights(
        spec.model,
        weights,
        seed=spec.seed,
        downloads=args.output.parent,
        key=f"backbones.{args.backbone_id}.{key}",
    )
    write_weights(made, args.output)


if __name__ == "__main__":
    run(main)
