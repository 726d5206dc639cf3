"""Random configurations that are sound, and what the DAG of one must hold, told without the package."""

from __future__ import annotations

from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

Raw = dict[str, Any]
IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,7}", fullmatch=True).filter(lambda name: name != "none")
SHARES = st.sampled_from([0.05, 0.1, 0.2])
SEEDS = st.integers(0, 2**32 - 1)
CLASSES = st.sampled_from(
    [
        {"normal": ["normal"], "ill": ["ill", "very ill"]},
        {"c": ["0"], "b": ["1"], "a": ["2"]},
        {"no": ["no"], "1": ["yes"]},
    ]
)
WHERE = st.dictionaries(st.sampled_from(["age", "sex"]), st.sampled_from([["f", 3], {"min": 2}, {"max": 9.5}, {}]))


def some(**optional: st.SearchStrategy) -> st.SearchStrategy[Raw]:
    """An object with any of these keys."""
    return st.fixed_dictionaries({}, optional=optional)


def section(entry: st.SearchStrategy[Raw], least: int = 1) -> st.SearchStrategy[dict[str, Raw]]:
    return st.dictionaries(IDS, entry, min_size=least, max_size=least + 1)


def one_with(**keys: Any) -> st.SearchStrategy[Raw]:
    return st.fixed_dictionaries(
        {name: key if isinstance(key, st.SearchStrategy) else st.just(key) for name, key in keys.items()}
    )


def with_keys(entry: st.SearchStrategy[Raw], more: st.SearchStrategy[Raw]) -> st.SearchStrategy[Raw]:
    return st.tuples(entry, more).map(lambda both: both[0] | both[1])


SHARED = some(
    match=st.sampled_from(["exact", "any"]),
    filter=WHERE,
    duplicates=st.sampled_from(["drop", "keep"]),
    balance=some(by=st.just("sex"), order=st.sampled_from(["random", "first"])),
    scatter=st.integers(1, 3),
)
FOLDERS = with_keys(
    one_with(adapter="folder", root="folder", classes=CLASSES), some(pattern=st.just(r"(?P<label>\w+)/(?P<group>\d+)_"))
)
TABLES = with_keys(
    one_with(adapter="table", root="table", table="t.csv", path="file", label="finding", classes=CLASSES),
    some(
        group=st.just("patient"),
        part=st.just("set"),
        separator=st.sampled_from("|;"),
        attributes=st.just({"age": "Age"}),
    ),
)
PHANTOMS = with_keys(
    one_with(adapter="phantom", truth=st.sampled_from(["benign", "planted", "homogeneous"])),
    some(
        patients=st.integers(8, 10**6),
        sites=st.integers(2, 4),
        size=st.integers(32, 1024),
        seed=SEEDS,
        attributes=st.sampled_from([["age"], ["exudates", "age"]]),
    ),
)
DATASETS = with_keys(FOLDERS | TABLES | PHANTOMS, SHARED)
PIXELS = some(
    size=st.integers(8, 4096),
    resize=st.sampled_from(["squash", "pad", "crop"]),
    channels=st.sampled_from([1, 3]),
    decoding=st.sampled_from(["auto", "full"]),
)
SPLITS = st.one_of(
    with_keys(one_with(test=SHARES, validation=SHARES, backbone=st.just(0) | SHARES), some(seed=SEEDS)),
    one_with(test=None, folds=st.integers(2, 4), validation=SHARES, backbone=st.just(0) | SHARES),
    one_with(test=one_with(where=WHERE) | st.just("source"), validation=SHARES),
    one_with(test=SHARES, validation=st.just(0), group="none", shuffle=one_with(by="sex", seed=SEEDS)),
)
AUGMENTATIONS = some(
    copies=st.integers(1, 9),
    first=st.integers(1, 600),
    rotation=st.floats(0, 180),
    zoom=SHARES,
    flip=st.booleans(),
    fill=st.sampled_from(["nearest", "reflect", "black"]),
)
TRAINING = some(epochs=st.integers(1, 99), optimizer=st.sampled_from(["adam", "sgd"]), learning_rate=st.floats(1e-9, 9))
CLUSTERINGS = with_keys(
    one_with(k=st.integers(2, 4)),
    some(
        method=st.sampled_from(["kmeans", "ward", "gmm"]),
        reduce=one_with(method="pca", components=st.integers(1, 99)) | one_with(method="pca", variance=SHARES),
        seed=SEEDS,
    ),
)
HEADS = with_keys(TRAINING, some(selection=st.sampled_from(["validation", "test"]), standardize=st.booleans()))
CONTROLS = some(
    arms=st.sets(st.sampled_from(["labels", "gaussian"])).map(lambda more: ["balanced", "size", *sorted(more)]),
    repeats=st.integers(1, 10**6),
    draws=st.integers(1, 10**6),
    views=st.sampled_from(["with-image", "samples"]),
)


FEATURES = some(
    test=st.sampled_from(["mean", "rank"]),
    unit=st.sampled_from(["patient", "image"]),
    shown=st.integers(2, 200),
    retrieval=some(at=st.lists(st.integers(1, 99), min_size=1, unique=True), queries=st.integers(1, 99)),
)
REGRESSIONS = some(standardize=st.booleans(), seeds=st.integers(1, 9)).map(
    lambda more: {"target": "age", "regressor": {"method": "linear"}} | more
)


@st.composite
def configurations(draw: st.DrawFn, studies: int = 2) -> Raw:
    """A sound configuration over all sections, with up to so many studies."""
    raw: Raw = {
        "threads": draw(st.integers(1, 64)),
        "datasets": draw(section(DATASETS, 2)),
        "pixels": draw(section(PIXELS)),
    }
    raw["splits"] = draw(section(SPLITS, 2).filter(lambda splits: any(spec["validation"] for spec in splits.values())))
    raw["augmentations"] = draw(st.dictionaries(IDS, AUGMENTATIONS, max_size=2))
    raw["backbones"] = draw(backbones(raw))
    for name, entries in {"clusterings": CLUSTERINGS, "heads": HEADS, "controls": CONTROLS}.items():
        raw[name] = draw(section(entries))
    raw["features"] = draw(st.dictionaries(IDS, FEATURES, max_size=2))
    raw["regressions"] = draw(st.dictionaries(IDS, REGRESSIONS, max_size=2))
    if draw(st.booleans()):
        members = draw(st.permutations(list(raw["datasets"])))[:2]
        raw["datasets"]["together"] = {"adapter": "union", "datasets": members, "classes": draw(CLASSES)}
    raw["studies"] = draw(st.dictionaries(IDS, study(raw), min_size=1, max_size=studies))
    # and one that shares all but one axis with another, as the studies of a comparison do
    axes = draw(st.sampled_from([["dataset", "regressions"], ["augmentation"], ["controls"]]))
    first, other = next(iter(raw["studies"].values())), draw(study(raw))
    raw["studies"]["like-the-first"] = first | {axis: other[axis] for axis in axes}
    return raw


@st.composite
def backbones(draw: st.DrawFn, raw: Raw) -> dict[str, Raw]:
    pixels = st.sampled_from(list(raw["pixels"]))
    augmentation = st.sampled_from(["none", *raw["augmentations"]])
    recipe = with_keys(TRAINING, some(share=st.sampled_from(["backbone", "train"]), augmentation=augmentation))
    frozen = one_with(model=st.sampled_from(["small-cnn", "resnet18"]), weights="random", pixels=pixels)
    trained = one_with(model="small-cnn", weights="trained", pixels=pixels, finetune=recipe)
    more = some(layer=st.just("features.3"), engine=st.sampled_from(["auto", "torch"]), batch_size=st.integers(1, 64))
    found: dict[str, Raw] = draw(section(with_keys(frozen | trained, more)))
    return found | {"frozen": draw(frozen)}


@st.composite
def study(draw: st.DrawFn, raw: Raw) -> Raw:
    """A study of entries that go together."""
    head = draw(st.sampled_from(list(raw["heads"])))
    on_test = raw["heads"][head].get("selection") == "test"
    split = draw(st.sampled_from([name for name, spec in raw["splits"].items() if on_test or spec["validation"]]))
    usable = [name for name, spec in raw["backbones"].items() if fits(spec, raw["splits"][split])]
    fused = ["+".join(pair) for pair in pairwise(usable)]
    chosen = draw(st.lists(st.sampled_from(usable + fused), min_size=1, max_size=3, unique=True))
    clusterings = draw(st.lists(st.sampled_from(list(raw["clusterings"])), min_size=1, unique=True))
    dataset = draw(st.sampled_from(list(raw["datasets"])))
    return {
        "dataset": dataset,
        "split": split,
        "augmentation": draw(st.sampled_from(["none", *raw["augmentations"]])),
        "backbones": chosen,
        "clusterings": clusterings,
        "head": head,
        "controls": draw(st.sampled_from(list(raw["controls"]))),
        "features": [name for name in raw["features"] if draw(st.booleans())],
        "regressions": [name for name in raw["regressions"] if draw(st.booleans()) and has_ages(raw, dataset)],
        "primary": {"backbone": draw(st.sampled_from(chosen)), "clustering": draw(st.sampled_from(clusterings))},
    }


def has_ages(raw: Raw, dataset: str) -> bool:
    """Whether the images of a dataset may have an age; a union asks its members, which only jobs do."""
    spec = raw["datasets"][dataset]
    return "age" in spec.get("attributes", []) or spec["adapter"] == "union"


def fits(backbone: Raw, split: Raw) -> bool:
    """Whether a backbone can be used with a split: trained on the share B, or on the training set of no fold."""
    if "finetune" not in backbone:
        return True
    own = backbone["finetune"].get("share", "backbone") == "backbone"
    return bool(split.get("backbone")) if own else "folds" not in split


def make_sources(raw: Raw, root: Path) -> None:
    """The folders that a configuration names, each with one image."""
    for folder in ("folder/normal", "table"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(root / folder / "1_a.png")
    (root / "table/t.csv").write_text("file,finding,patient,set,Age\n1_a.png,normal,1,train,3\n")


# ------------------------------------------------------------------------------------- expectation


def expected_jobs(raw: Raw) -> dict[str, set[tuple]]:
    """Rule → the ids that tell its jobs apart, for all studies of a sound configuration."""
    jobs: dict[str, set[tuple]] = {}

    def add(rule: str, *ids: object) -> None:
        jobs.setdefault(rule, set()).add(ids)

    add("overview")
    for name, spec in raw["studies"].items():
        add("compare", name)
        add("report", name)
        if len(spec["backbones"]) > 1:
            add("models", name)
        if spec["regressions"]:
            add("regressions", name)
        for part in {part for fused in spec["backbones"] for part in fused.split("+")}:
            _embedding(raw, spec, part, add)
        for fused in spec["backbones"]:
            _analyses(raw, spec, fused, add)
    for rule in ("phantom", "dataset"):
        for (dataset,) in jobs.get("images", set()):
            if rule == "dataset" or raw["datasets"][dataset]["adapter"] == "phantom":
                add(rule, dataset)
    jobs.pop("images")
    return jobs


def folds_of(raw: Raw, split: str) -> list[str]:
    count = raw["splits"][split].get("folds")
    return [f"{split}-{number}" for number in range(1, count + 1)] if count else [split]


def _embedding(raw: Raw, spec: Raw, part: str, add: Any) -> None:
    """What one plain backbone of a study needs."""
    trained, split, dataset = "finetune" in raw["backbones"][part], spec["split"], spec["dataset"]
    network = f"{part}/{split}" if trained else part
    members = raw["datasets"][dataset].get("datasets", [])
    add("weights", part)
    add("split", dataset, split)
    for name in [dataset, *members]:
        add("images", name)
        add("pixels", name, raw["backbones"][part]["pixels"])
    if trained:
        add("finetune", dataset, network)
        for fold in folds_of(raw, split):
            add("network", dataset, part, fold)
    for name in [dataset] if trained else [dataset, *members]:
        add("engine", name, network)
        add("embed", name, network)
        for shard in _shards(raw, name, joined=bool(members) and name == dataset and not trained):
            add("shard", name, network, shard)
            add("embed_shard", name, network, shard)
    if spec["augmentation"] != "none":
        add("views", dataset, part, split, spec["augmentation"])
        for shard in _shards(raw, dataset, joined=False):
            add("views_shard", dataset, part, split, spec["augmentation"], shard)


def _shards(raw: Raw, dataset: str, *, joined: bool) -> range:
    count = raw["datasets"][dataset].get("scatter", 1)
    return range(count if count > 1 and not joined else 0)


def _analyses(raw: Raw, spec: Raw, fused: str, add: Any) -> None:
    """What one backbone or fusion of a study needs."""
    arms = raw["controls"][spec["controls"]].get("arms", ["labels", "gaussian"])
    whole = (spec["dataset"], fused, spec["split"], spec["augmentation"])
    trained = (spec["head"], spec["controls"])
    for name in spec["features"]:
        add("features", spec["dataset"], fused, spec["split"], name)
    for clustering in spec["clusterings"]:
        add("cluster", *whole, clustering)
        add("stability", *whole, clustering)
        if "labels" in arms:
            add("redraw", *whole, clustering, *trained)
    for fold in folds_of(raw, spec["split"]):
        axes = (spec["dataset"], fused, fold, spec["augmentation"])
        add("split", spec["dataset"], fold)
        add("train", *axes, spec["head"])
        add("curve", *axes, spec["head"])
        for name in spec["regressions"]:
            add("regress", *axes, name)
        for clustering in spec["clusterings"]:
            for arm in {"labels", "gaussian"} & set(arms):
                add(arm, *axes, clustering, *trained)
            for cluster in range(raw["clusterings"][clustering]["k"]):
                add("retrain", *axes, clustering, *trained, cluster)


def paths_of(node: Any, above: tuple = ()) -> list[tuple]:
    """The paths of all keys and list positions of a raw configuration."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return list(chain.from_iterable([(*above, key), *paths_of(value, (*above, key))] for key, value in items))
