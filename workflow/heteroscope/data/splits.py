"""Splits: which images train, select, test, and train the study's own backbone.

The unit that is dealt out is a block: the images of one patient, and of all patients that share the
same bytes with one of them. Blocks of like composition (images of each class) are dealt out in the
parts' proportions, so that every part sees the same kinds of patients; what is left over goes, the
largest block first, to the part that lacks most.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from heteroscope.config import Split, TestPerClass, TestWhere
from heteroscope.data.conditions import attribute, meets
from heteroscope.errors import DataError

log = logging.getLogger(__name__)

PARTS = ("train", "validation", "test", "backbone")
SOURCE_PARTS = {
    "": "",
    "train": "",
    "training": "",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""A source's words for its own split; training images are dealt out further."""


def make_split(images: pd.DataFrame, spec: Split, fold: int | None, class_names: Sequence[str]) -> pd.DataFrame:
    """Deal the images out to the parts of an experiment.

    Args:
        images: as images.parquet has them.
        spec: the split; its shares are shares of all images.
        fold: which fold is the test set, from 1, where the split has folds; None gives what is common to all folds,
            the images that are clustered, embedded and given labels: all but the share B train.
        class_names: in order; a class's index is its integer label.

    Returns:
        Columns image_id, class, label, group, part, and of all folds together `fold`, in which an image is tested
        (0: none). Rows stand in the images' order, or in the published shuffled one. Images that may stand in no part,
        because their patient stands in a test set that the source or a condition gives, are left out.

    Raises:
        DataError: a part lacks a class, or there is too little to deal out.
    """
    label = images["label"].map({name: index for index, name in enumerate(class_names)}).to_numpy(dtype=np.int64)
    order = np.arange(len(images))
    tested_in: dict[str, np.ndarray] = {}
    if spec.shuffle:
        part, order = _published(images, spec, label)
    elif isinstance(spec.test, TestPerClass):
        part = _drawn_per_class(label, spec.test.per_class, spec, class_names)
    elif spec.folds:
        tested = _folds(images, spec, label)
        part = _part_of_fold(images, spec, label, tested, fold) if fold else np.where(tested > 0, "train", "backbone")
        tested_in = {} if fold else {"fold": tested}
    else:
        part = _dealt(images, spec, label)
    table = pd.DataFrame(
        {
            "image_id": images["image_id"],
            "class": images["label"],
            "label": label,
            "group": images["group"],
            "part": part,
            **tested_in,
        }
    )
    table = table.iloc[order]
    table = table[table["part"] != ""].reset_index(drop=True)
    _require_classes(table, spec, class_names)
    return table


# --------------------------------------------------------------------------------- grouped dealing


def _folds(images: pd.DataFrame, spec: Split, label: np.ndarray) -> np.ndarray:
    """(n,) int: the fold, from 1, in which an image is tested; 0 for the share B, which no fold trains or tests on."""
    assert spec.folds is not None
    block, stratum = _blocks(images, grouped=spec.group == "patient"), _strata(spec, label)
    shares = [spec.backbone, *[(1 - spec.backbone) / spec.folds] * spec.folds]
    return _deal(block, stratum, shares, np.random.default_rng([spec.seed, 0, 0]))


def _part_of_fold(images: pd.DataFrame, spec: Split, label: np.ndarray, tested: np.ndarray, fold: int) -> np.ndarray:
    """(n,) part of every image in one fold: validation is dealt out of what the fold does not test."""
    part = np.where(tested == fold, "test", np.where(tested > 0, "train", "backbone")).astype(object)
    rest = np.flatnonzero(part == "train")
    block, stratum = _blocks(images, grouped=spec.group == "patient"), _strata(spec, label)
    wanted = spec.validation * len(images)
    rng = np.random.default_rng([spec.seed, fold, 1])
    part[rest[_deal(block[rest], stratum[rest], [len(rest) - wanted, wanted], rng) == 1]] = "validation"
    return part


def _strata(spec: Split, label: np.ndarray) -> np.ndarray:
    """(n,) int: what the parts' shares hold within."""
    return label if spec.stratify == "label" else np.zeros_like(label)


def _dealt(images: pd.DataFrame, spec: Split, label: np.ndarray) -> np.ndarray:
    """(n,) part of every image; empty for those that may stand in none."""
    block, stratum = _blocks(images, grouped=spec.group == "patient"), _strata(spec, label)
    given = _given_parts(images, spec, block, stratum)
    part = _without_groups_on_two_sides(given, block)
    rest = np.flatnonzero(part == "train")
    names = ["validation", "backbone"]
    shares = np.array([0 if (part == "validation").any() else spec.validation, spec.backbone]) * len(images)
    if shares.sum() >= len(rest):
        raise DataError(
            f"the split asks for {shares.sum():.0f} images of {len(images)} for validation and backbone, but its test"
            f" set leaves {len(rest)}; make those shares smaller"
        )
    rng = np.random.default_rng([spec.seed, 0, 1])
    dealt = _deal(block[rest], stratum[rest], [len(rest) - shares.sum(), *shares], rng)
    part[rest] = np.array(["train", *names], dtype=object)[dealt]
    return part


def _blocks(images: pd.DataFrame, *, grouped: bool) -> np.ndarray:
    """(n,) int: the block of every image. Ungrouped, every row is one."""
    if not grouped:
        return np.arange(len(images))
    group, content = (pd.factorize(images[column])[0] for column in ("group", "content"))
    size = 2 * len(images)
    edges = coo_array((np.ones(len(images)), (group, content + len(images))), shape=(size, size))
    return connected_components(edges, directed=False)[1][group].astype(np.int64)


def _given_parts(images: pd.DataFrame, spec: Split, block: np.ndarray, stratum: np.ndarray) -> np.ndarray:
    """(n,) train, validation or test, as far as the test set decides it; empty for images that may stand in none."""
    if spec.test == "source":
        return _parts_of_source(images)
    if not isinstance(spec.test, TestWhere):
        assert isinstance(spec.test, float)
        drawn = _drawn(block, stratum, spec.test, spec.seed)
        return np.where(drawn, "test", "train").astype(object)
    met = meets(images, spec.test.where)
    if spec.test.share is None:
        return np.where(met, "test", "train").astype(object)
    drawn = _drawn(block, stratum, spec.test.share, spec.seed)
    # the other images of patients who test are left out with those of a condition without share
    return np.where(met, np.where(drawn, "test", ""), "train").astype(object)


def _drawn(block: np.ndarray, stratum: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(n,) bool: the images of a share of the blocks."""
    return np.asarray(_deal(block, stratum, [1 - share, share], np.random.default_rng([seed, 0, 0])) == 1)


def _parts_of_source(images: pd.DataFrame) -> np.ndarray:
    words = images["part"].str.lower()
    if unknown := sorted(set(words) - set(SOURCE_PARTS)):
        raise DataError(
            f"the source's split has the words {', '.join(map(repr, unknown))}; known: train, validation, test"
        )
    parts = words.map(SOURCE_PARTS).replace("", "train").to_numpy(dtype=object)
    if not (parts == "test").any():
        raise DataError("the source gives no test images; set the split's `test` to a share or a condition")
    return parts


def _without_groups_on_two_sides(part: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Blank the images of a block that stands in the test set, or else in validation, but are not in it themselves."""
    part = part.copy()
    for name in ("test", "validation"):
        inside = np.isin(block, block[part == name])
        part[inside & (part != name) & (part != "test")] = ""
    if left_out := int((part == "").sum()):
        log.info("%d images are left out: their patients stand in a part that the source or condition gives", left_out)
    return part


def _deal(block: np.ndarray, stratum: np.ndarray, shares: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Deal blocks out in proportion to `shares`.

    Args:
        block: (n,) int, the block of every image.
        stratum: (n,) int, what the shares hold within.
        shares: of the parts, in any unit.
        rng: the order within blocks of like composition.

    Returns:
        (n,) int, the part of every image.
    """
    _, first, block = np.unique(block, return_index=True, return_inverse=True)
    counts = np.zeros((len(first), int(stratum.max(initial=0)) + 1), dtype=np.int64)
    np.add.at(counts, (block, stratum), 1)
    share = np.asarray(shares, dtype=float) / np.sum(shares)
    totals = np.maximum(counts.sum(axis=0), 1)
    need = share[:, None] * counts.sum(axis=0)
    chosen = np.zeros(len(counts), dtype=np.int64)
    left: list[np.ndarray] = []
    kinds, kind = np.unique(counts, axis=0, return_inverse=True)
    for index, composition in enumerate(kinds):
        members = rng.permutation(np.flatnonzero(kind.ravel() == index))
        whole = np.floor(share * len(members) + 1e-9).astype(int)
        chosen[members[: whole.sum()]] = np.repeat(np.arange(len(share)), whole)
        need -= whole[:, None] * composition
        left.append(members[whole.sum() :])
    rest = np.concatenate(left)
    for member in rest[np.argsort(-counts[rest].sum(axis=1), kind="stable")]:
        gain = (need * counts[member] / totals**2).sum(axis=1)
        gain[share == 0] = -np.inf
        chosen[member] = int(gain.argmax())
        need[chosen[member]] -= counts[member]
    return chosen[block]


# ------------------------------------------------------------------------------ published protocol


def _published(images: pd.DataFrame, spec: Split, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The published protocol: rows in class and attribute order, shuffled by pandas, split by scikit-learn.

    Returns:
        (n,) part of every image, and the published order: training rows, then the others.
    """
    from sklearn.model_selection import train_test_split  # costs more than all else of a split: only for this one

    assert spec.shuffle is not None
    assert isinstance(spec.test, float)
    levels = attribute(images, spec.shuffle.by)
    rank = label.max() - label  # the positive class comes first: in the order, and to scikit-learn
    rows = pd.DataFrame({"rank": rank, "level": levels.to_numpy()}).sort_values(["rank", "level"], kind="stable")
    shuffled = rows.sample(frac=1, random_state=spec.shuffle.seed).index.to_numpy()
    sizes: list[tuple[str, float | int]] = [("test", spec.test)]
    sizes += [(name, round(getattr(spec, name) * len(images))) for name in ("validation", "backbone")]
    part = np.full(len(images), "train", dtype=object)
    order: list[np.ndarray] = []
    for name, size in sizes:
        if size:
            stratify = rank[shuffled] if spec.stratify == "label" else None
            shuffled, out = train_test_split(shuffled, test_size=size, random_state=spec.seed, stratify=stratify)
            part[out] = name
            order.append(out)
    return part, np.concatenate([shuffled, *order])


def _drawn_per_class(label: np.ndarray, number: int, spec: Split, class_names: Sequence[str]) -> np.ndarray:
    """(n,) part of every image: drawn by pandas, the test set from each class, validation from what is left."""
    for index, name in enumerate(class_names):
        if (count := int((label == index).sum())) < number:
            raise DataError(f"the split asks for {number} test images of class {name}, but there are {count}")
    rows = pd.Series(label)
    test = rows.groupby(rows).sample(n=number, random_state=spec.seed).index
    validation = rows.drop(test).sample(frac=spec.validation, random_state=spec.seed).index
    part = np.full(len(label), "train", dtype=object)
    part[test], part[validation] = "test", "validation"
    return part


# ---------------------------------------------------------------------------------------- checking


def _require_classes(table: pd.DataFrame, spec: Split, class_names: Sequence[str]) -> None:
    wanted = ["train"] if "fold" in table else ["train", "test", "validation"]
    for part in [*wanted, "backbone"]:
        if part in ("validation", "backbone") and getattr(spec, part) == 0:
            continue
        present = set(table.loc[table["part"] == part, "class"])
        if absent := [name for name in class_names if name not in present]:
            raise DataError(
                f"the {part} part of the split has no image of class {', '.join(absent)}; there are"
                f" {len(table)} images of {table['group'].nunique()} groups to deal out: give the part a larger"
                " share, choose another test set, or add images"
            )
