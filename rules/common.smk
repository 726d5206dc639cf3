import inspect
import json
import re
import shlex
import sys
from pathlib import Path

from snakemake.logging import logger

from heteroscope.config import dump, load
from heteroscope.config.repeated import refuse_repeated_keys
from heteroscope.data.listing import remove_broken_listing, update_listing
from heteroscope.errors import UserError
from heteroscope.layout import Layout
from heteroscope.provenance import ROOT, code_digest


def checked_layout():
    """The layout of the checked configuration; the files that it names are looked for once, by the head process."""
    try:
        if workflow.is_main_process:
            for path in workflow.configfiles:
                refuse_repeated_keys(Path(path))
        layout = Layout(load(config))
        if workflow.is_main_process:
            layout.check_weights_files()
            for dataset, (root, tables) in layout.scanned().items():
                update_listing(root, Path(layout.listing(dataset)), tables)
            for dataset in layout.generated():
                remove_broken_listing(Path(layout.root(dataset)), Path(layout.listing(dataset)))
        return layout
    except UserError as error:
        logger.error(f"error: {error}")
        sys.exit(1)  # an exception would come with the lines of these files that it passed


def entry(section, wildcard):
    """A function for params: the JSON of the config entry that a wildcard names."""
    return lambda wildcards: dump(getattr(layout.config, section)[wildcards[wildcard]])


def controls_of(stage):
    """A function for params: the JSON of what a stage reads of the `controls` entry that the wildcard names."""
    return lambda wildcards: dump(layout.controls_of(stage, wildcards.controls))


def of(method):
    """An input or params function: a method of the layout, given the ids that its parameters are named after."""
    names = inspect.signature(method).parameters
    return lambda wildcards: method(**{name: value for name, value in layout.ids(wildcards).items() if name in names})


def spec_of(method):
    """A function for params: the JSON of what a method of the layout gives."""
    return lambda wildcards: dump(of(method)(wildcards))


def digests_of(method):
    """An input function: the digests that stand for large files in the DAG."""
    return lambda wildcards: [f"{path}.digest" for path in of(method)(wildcards)]


def untracked(method):
    """An input function: large files whose times mean nothing; their digests are tracked instead."""
    return lambda wildcards: [ancient(path) for path in of(method)(wildcards)]


def growing(amount):
    """A resource that grows with every attempt: a number, or a function of the wildcards that gives one."""
    first = amount if callable(amount) else lambda wildcards: amount
    return lambda wildcards, attempt: first(wildcards) * attempt


def one_of(ids):
    """A wildcard constraint that allows these ids only; `$^` matches nothing."""
    return "|".join(map(re.escape, ids)) or "$^"


layout = checked_layout()
threads_flag = f"--threads {layout.config.threads}"
TABLES = "clusters baseline transfer attributes attribute-scores curve sensitivity metrics confusion".split()

# jobs run the package whose code was digested here; a conda environment does not hold it
shell.prefix(
    "set -euo pipefail; export PYTHONPATH=" + shlex.quote(str(ROOT.parent)) + "${{PYTHONPATH:+:$PYTHONPATH}}; "
)


wildcard_constraints:
    arm="cluster|size|balanced",
    augmentation="[a-z0-9-]+",
    backbone="[a-z0-9+-]+",
    cluster=r"\d+",
    clustering="[a-z0-9-]+",
    controls="[a-z0-9-]+",
    dataset="[a-z0-9-]+",
    explanation="[a-z0-9-]+",
    head="[a-z0-9-]+",
    features="[a-z0-9-]+",
    hybrid="[a-z0-9-]+",
    network=one_of(layout.networks()),
    pixels="[a-z0-9-]+",
    regression="[a-z0-9-]+",
    shard=r"\d+",
    shards=r"\d+",
    split="[a-z0-9-]+",
    study="[a-z0-9-]+",
