"""Which attribute of the images goes with the clusters: a correlate, never a cause."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heteroscope.data.attributes import restates_group
from heteroscope.data.conditions import is_number
from heteroscope.embedding.samples import rows_by_patient
from heteroscope.evaluation.statistics import cramers_v, eta_squared, holm, permutation_p

PERMUTATIONS = 999
IMAGE_PROPERTIES = ("width", "height", "mode")


def attribute_table(images: pd.DataFrame, assignments: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """The association of the clusters with every attribute and image property.

    Categories: Cramér's V; numbers: η². p by exchanging whole patients: the values of a patient's
    images go to another patient with as many images. Holm over attributes. An attribute that
    restates the patient is left out.

    Args:
        images: images.parquet.
        assignments: the clusters; augmented views are left out.
        seed: of the permutations.

    Returns:
        Columns attribute, measure, association, p, p_holm, images, levels; the strongest first: by how far
        V, or η, exceeds its mean over the permutations, which grows with the number of levels.
    """
    originals = assignments.loc[assignments["view"] == 0, ["image_id", "cluster"]].merge(images, on="image_id")
    rows = [_association(originals, name, seed) for name in telling_columns(images)]
    table = pd.DataFrame(rows, columns=["attribute", "measure", "association", "p", "images", "levels", "excess"])
    table.insert(4, "p_holm", holm(table["p"].to_numpy(dtype=float)))
    return table.sort_values("excess", ascending=False, kind="stable", na_position="last", ignore_index=True).drop(
        columns="excess"
    )


def telling_columns(images: pd.DataFrame) -> list[str]:
    """The columns of attributes and image properties, without attributes that restate the patient."""
    return [
        name
        for name in images.columns
        if (name.startswith("attr_") and not restates_group(images[name], images["group"])) or name in IMAGE_PROPERTIES
    ]


def attribute_name(column: str) -> str:
    """A telling column as tables name it; an attribute stays apart from the image property of its name."""
    name = column.removeprefix("attr_")
    return f"{name} (attribute)" if name != column and name in IMAGE_PROPERTIES else name


def _association(frame: pd.DataFrame, name: str, seed: int) -> dict[str, object]:
    known = frame[frame[name].notna() & (frame[name].astype(str) != "")]
    numeric = is_number(known[name])
    value = known[name].to_numpy(dtype=float) if numeric else pd.factorize(known[name])[0]
    measure, statistic = ("eta squared", eta_squared) if numeric else ("Cramér's V", cramers_v)
    cluster = known["cluster"].to_numpy()
    row: dict[str, object] = {"attribute": attribute_name(name), "measure": measure}
    row |= {"images": len(known), "levels": int(known[name].nunique())}
    if known[name].nunique() < 2 or known["cluster"].nunique() < 2:
        return row | {"association": np.nan, "p": np.nan, "excess": np.nan}
    observed = statistic(value, cluster)
    exchange = PatientExchange(known["group"].to_numpy())
    generator = np.random.default_rng(seed)
    draws = np.array([statistic(value[exchange.draw(generator)], cluster) for _ in range(PERMUTATIONS)])
    power = 0.5 if numeric else 1.0  # η² is a square, V is none
    excess = observed**power - (draws**power).mean()
    return row | {"association": observed, "p": permutation_p(observed, draws), "excess": excess}


class PatientExchange:
    """Random exchanges of whole patients with as many images."""

    def __init__(self, group: np.ndarray) -> None:
        by_patient = rows_by_patient(group)
        self.n = len(group)
        # one array (patients, images) a number of images
        sizes = sorted({len(rows) for rows in by_patient})
        self.strata = [np.stack([rows for rows in by_patient if len(rows) == size]) for size in sizes]

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Row numbers (n,): where each row takes its value from."""
        source = np.empty(self.n, dtype=np.int64)
        for rows in self.strata:
            source[rows] = rows[generator.permutation(len(rows))]
        return source
