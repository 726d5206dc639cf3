"""The phantom: a population of patients at several sites, photographed, with a known truth.

Every patient belongs to one site and one class and has two photographs, one an eye. Two kinds of
lesions are drawn: exudates (bright) and haemorrhages (dark). One of them is the class's cue: all of the
diseased have it and none of the healthy. The other one is seen in few of the diseased and in most of
the healthy, so that a rule learnt where it is the cue misleads where it is not.

- `homogeneous`: one look, and exudates are the cue.
- `benign`: sites look different, and exudates are the cue everywhere.
- `planted`: sites look different, and the cue is exudates in the first half of the sites and
  haemorrhages in the others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from heteroscope.atomic import writing
from heteroscope.config import PhantomDataset
from heteroscope.data.fundus import LOOKS, draw_fundus
from heteroscope.data.sources import PHANTOM_TABLE
from heteroscope.store import write_table

EYES = ("left", "right")
OTHER_LESION_DISEASED = 0.25
OTHER_LESION_HEALTHY = 0.75
YOUNGEST, OLDEST = 30, 90


def generate(spec: PhantomDataset, root: Path) -> None:
    """Write the photographs (`<site>/<patient>_<eye>.png`) and `phantom.csv` below `root`.

    The same specification gives the same bytes. Photographs of an older phantom there are removed.

    Args:
        spec: the truth, the number of patients and sites, the size in pixels, the seed.
        root: the folder to write to.
    """
    _remove_older(root)
    table = population(spec)
    for row in tqdm(table.to_dict("records"), desc="phantom", unit="image", mininterval=1):
        look = LOOKS[0 if spec.truth == "homogeneous" else int(row["site"].split("-")[1]) - 1]
        pixels = draw_fundus(
            spec.size,
            look,
            right_eye=row["eye"] == "right",
            exudates=bool(row["exudates"]),
            haemorrhages=bool(row["haemorrhages"]),
            rng=np.random.default_rng([spec.seed, int(row["patient"][1:]), EYES.index(row["eye"])]),
        )
        path = root / row["path"]
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    write_table(table, root / PHANTOM_TABLE)


def population(spec: PhantomDataset) -> pd.DataFrame:
    """Who is photographed where, and what they have.

    Returns:
        One row a photograph: path, label (the class's word), patient, eye, site, camera, exudates, haemorrhages, cue;
        and the patient's age, where it is one of the attributes.
    """
    rng = np.random.default_rng(spec.seed)
    # no patient has this number: all else is drawn as it is without ages
    ages = np.random.default_rng([spec.seed, spec.patients]).integers(YOUNGEST, OLDEST, spec.patients, endpoint=True)
    sites = 1 if spec.truth == "homogeneous" else spec.sites
    words = [words[0] for words in spec.classes.values()]
    rows = []
    for patient, number in enumerate(rng.permutation(spec.patients)):
        # The random number decides site and class, so that both are balanced and unrelated to the order.
        site, diseased = int(number % sites), bool((number // sites) % 2)
        other = bool(rng.random() < (OTHER_LESION_DISEASED if diseased else OTHER_LESION_HEALTHY))
        by_exudates = spec.truth != "planted" or site < sites / 2
        person = {
            "label": words[diseased],
            "patient": f"p{patient:05d}",
            "site": f"site-{site + 1}",
            "camera": f"camera-{'ab'[site % 2]}",
            "exudates": int(diseased if by_exudates else other),
            "haemorrhages": int(other if by_exudates else diseased),
            "cue": "exudates" if by_exudates else "haemorrhages",
        }
        if "age" in spec.attributes:
            person["age"] = int(ages[patient])
        rows += [{"path": f"{person['site']}/{person['patient']}_{eye}.png", "eye": eye} | person for eye in EYES]
    return pd.DataFrame(rows)


def _remove_older(root: Path) -> None:
    """Remove the photographs of an older phantom, known by their names, and no other file."""
    for eye in EYES:
        for path in root.glob(f"site-[1-4]/p[0-9][0-9][0-9][0-9][0-9]_{eye}.png"):
            path.unlink()
