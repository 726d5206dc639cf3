"""docs/calibration.md: every number in its sentences comes from the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from calibration.figures import draw_comparison, draw_p_values, draw_power, draw_rates
from calibration.running import read_results
from calibration.settings import Setting
from calibration.summary import (
    BOUND,
    EXACT,
    LEVEL,
    TESTS,
    Rate,
    called_different,
    rate,
    rejected,
    size_that_finds,
    wall_seconds,
)
from calibration.worlds import accuracy_at_stake
from heteroscope.atomic import atomic_path
from heteroscope.errors import StoreError
from heteroscope.evaluation.verdict import POWER
from heteroscope.figures.style import save_figure

FOLDER = "calibration"  # of the figures, beside the page
ALL = "all settings"


def write_page(results: Path, settings: Sequence[Setting], path: Path) -> None:
    """Write the page and its figures from the results there are.

    Raises:
        StoreError: there are none.
    """
    found = read_results(results, settings)
    if found.empty:
        raise StoreError(f"{results}: no finished studies; run `make calibrate`")
    lines = ["# Calibration: how often the tests err", "", *_opening(found, settings)]
    for block, section in SECTIONS.items():
        if (found["block"] == block).any():
            lines += ["", *section(found, settings, path.parent / FOLDER)]
    lines += ["", *_origin(found)]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _opening(found: pd.DataFrame, settings: Sequence[Setting]) -> list[str]:
    lines = [
        "Written by `make calibrate` from simulated studies whose truth is known: embeddings, labels and patients are"
        " drawn from a population, and go through the product's own clustering, label arm and verdict. A study redraws"
        " its labels 39 times and trains one seed a head. Rates stand with 95 % intervals (Clopper and Pearson).",
        "",
        f"{_commits(found)} `make calibrate` keeps the studies of earlier commits; delete `results/calibration` to"
        " begin anew, as after a change of the code that they go through.",
    ]
    asked = sum(setting.studies for setting in settings)
    if len(found) < asked:
        lines += ["", f"**Not finished**: {len(found):,} of {asked:,} studies. `make calibrate` goes on."]
    if not (null := found[found["block"] == "null"]).empty:
        error = called_different(null)
        lines += [
            "",
            f"- Where one rule made all labels, the verdict was `different` in {error} of {error.studies:,} studies;"
            f" the one-sided 95 % upper bound is {error.upper:.1%}, {_within(error)}.",
        ]
    if not (published := found[found["block"] == "published"]).empty:
        size, eye = rate(rejected(published["p_size"])), rate(published["by_eye"])
        lines += [
            f"- On such data the published comparison, made a test (T against `size`), rejected in {size.value:.0%},"
            f" and read by eye (one run against five) it called heterogeneity in {eye.value:.0%}.",
        ]
    return lines


def _commits(found: pd.DataFrame) -> str:
    number = found["commit"].nunique()
    if number == 1:
        return "All studies are of one commit."
    return f"**Studies of {number} commits are pooled**, counted at the end of this page."


def _within(found: Rate) -> str:
    return f"within the bound of {BOUND:.0%}" if found.upper <= BOUND else f"**above the bound of {BOUND:.0%}**"


# ----------------------------------------------------------------------------- one rule: the verdict


def _null(found: pd.DataFrame, _: Sequence[Setting], figures: Path) -> list[str]:
    rows = found[found["block"] == "null"]
    by_setting = {str(name): called_different(part) for name, part in rows.groupby("setting")}
    by_setting |= {ALL: called_different(rows)}
    save_figure(draw_rates(by_setting), figures / "verdict.png")
    above = [name for name, of in by_setting.items() if of.low > LEVEL]
    populations = _by_population(rows)
    table = [[name, len(part), *_null_cells(part)] for name, part in populations.items()]
    shown = [part for name, part in populations.items() if name != ALL and called_different(part).upper > BOUND]
    return [
        "## One rule, many populations: the verdict's error rate",
        "",
        "The rules of all clusters are the same here, so `different` is an error. Four clusters by k-means, 500"
        " training and 250 test images; classes 1:1 and 1:4; weak and strong signal (the best rule is right on 76 % and"
        " 93 % of balanced classes).",
        "",
        _table(
            [
                "population",
                "studies",
                "`different`",
                "upper bound",
                "linear rule alone",
                "interaction test",
                "not assessable",
            ],
            table,
        ),
        "",
        "“Linear rule alone” is how often p is at most 0.05 when labels are redrawn from the linear rule only; the"
        " verdict asks the curved one too. “Upper bound” is the one-sided 95 % bound of the verdict's rate."
        " The interaction test is the conventional answer that stands beside the verdict. "
        + _too_often("It", {name: rate(rejected(part["p_interaction"])) for name, part in populations.items()}),
        "",
        f"No setting's rate of the verdict is shown to be above {LEVEL:.0%}."
        if not above
        else f"**Not calibrated**: the verdict's rate is above {LEVEL:.0%}, its interval too, in {'; '.join(above)}.",
        *(
            [
                f"Of single populations, {len(shown)} of {len(populations) - 1} have an upper bound above {BOUND:.0%}:"
                " too few studies of their own, or too many errors; the intervals tell which."
            ]
            if shown
            else []
        ),
        "",
        f"![The verdict's error rate in every setting]({FOLDER}/verdict.png)",
        "",
        *_p_values(found, figures),
    ]


def _too_often(test: str, rates: dict[str, Rate]) -> str:
    """A sentence: where a test rejects more often than its level, its interval too."""
    above = [f"{name} ({of.value:.0%})" for name, of in rates.items() if of.low > LEVEL and name != ALL]
    if not above:
        return f"{test} is nowhere shown to reject more often than its level of {LEVEL:.0%}."
    return f"{test} rejects more often than its level of {LEVEL:.0%} says: {', '.join(above)}."


def _by_population(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The first words of a setting's name → its studies; all of them last."""
    parts = {str(name): part for name, part in rows.groupby(rows["setting"].str.split(", ").str[0], sort=True)}
    return parts | {ALL: rows}


def _null_cells(rows: pd.DataFrame) -> list[str]:
    verdict = called_different(rows)
    return [
        str(verdict),
        f"{verdict.upper:.1%}",
        f"{rate(rejected(rows['p'])).value:.1%}",
        f"{rate(rejected(rows['p_interaction'])).value:.1%}",
        f"{(rows['verdict'].isin(['not assessable', 'refused'])).mean():.0%}",
    ]


def _p_values(found: pd.DataFrame, figures: Path) -> list[str]:
    null, random = found[found["block"] == "null"], _exact(found)
    columns = {"the verdict's p, one rule": null[["p", "p_nonlinear"]].max(axis=1).dropna()}
    if not random.empty:
        columns["T against size, random parts"] = random["p_size"].dropna()
        columns["T against balanced, random parts"] = random["p_balanced"].dropna()
    save_figure(draw_p_values({name: values.tolist() for name, values in columns.items()}), figures / "p-values.png")
    return [f"![How p-values are distributed where there is nothing to find]({FOLDER}/p-values.png)"]


# ------------------------------------------------------------------------- one rule: the other tests


def _published(found: pd.DataFrame, _: Sequence[Setting], figures: Path) -> list[str]:
    rows, null = found[found["block"] == "published"], found[found["block"] == "null"]
    tests = {column: name for column, name in TESTS.items() if column in rows and rows[column].notna().any()}
    table, verdicts = {}, _by_population(null) if not null.empty else {}
    for name, part in _by_population(rows).items():
        rates = {"one run against five, by eye": rate(part["by_eye"])}
        rates |= {shown: rate(rejected(part[column])) for column, shown in tests.items()}
        if name in verdicts:
            rates["interaction test"] = rate(rejected(verdicts[name]["p_interaction"]))
            rates["the verdict"] = called_different(verdicts[name])
        table[name] = rates
    save_figure(
        draw_comparison(pd.DataFrame({name: {k: r.value for k, r in of.items()} for name, of in table.items()}).T),
        figures / "comparison.png",
    )
    header = list(next(iter(table.values())))
    return [
        "## Why the label arm exists: the same populations, other tests",
        "",
        "How often each way of looking finds heterogeneity although one rule made all labels. By eye: a cluster's one"
        " model lies more than two standard deviations of its five random controls away from their mean, in any"
        " cluster. T is tested at 0.05 against 39 draws; where fewer than two clusters can be compared there is no T."
        " Clusters are compact and random sets are not, and clusters differ in their class counts: both can make models"
        " differ, whatever made the labels.",
        "",
        _table(
            ["population", "studies", *header],
            [
                [name, int((_by_population(rows)[name]).shape[0]), *(f"{of.value:.0%}" for of in rates.values())]
                for name, rates in table.items()
            ],
        ),
        "",
        "The number of studies is that of the comparisons with controls; the interaction test and the verdict have"
        " those of the table above.",
        "",
        " ".join(_too_often(name, {of: rates[name] for of, rates in table.items()}) for name in tests.values()),
        "",
        f"![What each test finds where there is nothing to find]({FOLDER}/comparison.png)",
    ]


# ---------------------------------------------------------------------------------- random parts


def _exact(found: pd.DataFrame) -> pd.DataFrame:
    """Studies whose parts are a random draw of the kind that `size` draws."""
    return found[(found["block"] == "random") & ~found["setting"].str.contains("class counts")]


def _random(found: pd.DataFrame, _: Sequence[Setting], __: Path) -> list[str]:
    rows, same = found[found["block"] == "random"], _exact(found)
    size, balanced = rate(rejected(same["p_size"])), rate(rejected(rows["p_balanced"]))
    skewed = rows.drop(same.index)
    table = [
        [
            name,
            len(part),
            str(rate(rejected(part["p_size"]))),
            str(rate(rejected(part["p_balanced"]))),
            str(rate(part["by_eye"])),
        ]
        for name, part in rows.groupby("setting", sort=False)
    ]
    lines = [
        "## Random parts: the tests that are exact by construction",
        "",
        "Here the three clusters are no clusters but a random division of the images. T against `size` is then exact,"
        " and T against `balanced` too, also where the parts differ in their class counts.",
        "",
        _table(["parts", "studies", "T against `size`", "T against `balanced`", "by eye"], table),
        "",
        f"Where it is exact, T against `size` rejected in {size} of {size.studies:,} studies, {_expected(size)}; T"
        f" against `balanced` in {balanced} of {balanced.studies:,}, {_expected(balanced)}.",
    ]
    if not skewed.empty:
        eye, chance = rate(skewed["by_eye"]), rate(same["by_eye"])
        lines += [
            "",
            f"Read by eye, random parts of equal class counts were called different in {chance}; random parts that"
            f" differ in nothing but their class counts in {eye}.",
        ]
    return lines


def _expected(found: Rate) -> str:
    low, high = EXACT
    inside = low <= found.value <= high
    return f"{'within' if inside else '**outside**'} {low:.0%} to {high:.0%}"


# ---------------------------------------------------------------------------------- curved rules


def _curved(found: pd.DataFrame, _: Sequence[Setting], __: Path) -> list[str]:
    rows = found[found["block"] == "curved"]
    table = [
        [
            name,
            len(part),
            str(rate(rejected(part["p"]))),
            str(called_different(part)),
            f"{(part['verdict'] == 'nonlinear rule').mean():.0%}",
        ]
        for name, part in rows.groupby("setting", sort=False)
    ]
    wrong = [str(name) for name, part in rows.groupby("setting", sort=False) if called_different(part).low > LEVEL]
    return [
        "## Curved rules: where the verdict may err",
        "",
        "One rule again, but a curved one. “square”: the square of the direction along which the clusters lie, beside a"
        " straight part. “product”: what one direction says is turned around along the direction in which the clusters"
        " lie. A product is a slope of each cluster's own by another name: no rule could be allowed it and planted"
        " differences still be found, so the verdict is not protected against it.",
        "",
        _table(["rule and signal", "studies", "linear rule alone", "`different`", "`nonlinear rule`"], table),
        "",
        f"**Not calibrated**: {'; '.join(wrong)}. Such a rule is heterogeneity as far as these data tell: the clusters"
        " do need rules of their own, though one formula could describe them all."
        if wrong
        else f"In none of them is the verdict's rate shown to be above {LEVEL:.0%}.",
    ]


# ----------------------------------------------------------------------------------------- power


def _power(found: pd.DataFrame, settings: Sequence[Setting], figures: Path) -> list[str]:
    angles, sizes = _angle_curves(found, settings), _size_curves(found, settings)
    save_figure(draw_power(angles, sizes), figures / "power.png")
    degrees = next(iter(angles.values()))["degrees"]
    table = [
        [f"{angle:.0f}", *(cell for curve in angles.values() for cell in _angle_cells(curve, angle))]
        for angle in degrees
    ]
    header = ["degrees", *(cell for name in angles for cell in (f"accuracy at stake, {name}", f"`different`, {name}"))]
    lines = [
        "## Power: planted differences",
        "",
        "Two strata far apart, found by k-means; the direction of the classes is turned from one to the other. Accuracy"
        " at stake is what each stratum's own best rule is right on more often than the best rule in common (closed"
        " form). 500 training and 250 test images, strata of equal and of 1:10 size.",
        "",
        _table(header, table),
        "",
        f"![Power over angle and over size]({FOLDER}/power.png)",
    ]
    if sizes:
        found_at = {
            name: size_that_finds(curve["size"].tolist(), [r.value for r in curve["rate"]])
            for name, curve in sizes.items()
        }
        lines += [
            "",
            f"How many training images find a gap in {POWER:.0%} of studies (two equal strata, half as many"
            " test images):",
            "",
            _table(
                [
                    "accuracy at stake",
                    *(f"{size:,} images" for size in next(iter(sizes.values()))["size"]),
                    f"{POWER:.0%} at",
                ],
                [
                    [name, *(str(of) for of in curve["rate"]), _images(found_at[name], curve["size"].tolist())]
                    for name, curve in sizes.items()
                ],
            ),
        ]
    return lines


def _images(size: float | None, sizes: list[int]) -> str:
    if size is None:
        return f"more than {max(sizes):,}"
    return f"{min(sizes):,} or fewer" if size <= min(sizes) else f"about {round(size, -1 if size < 1000 else -2):,.0f}"


def _angle_curves(found: pd.DataFrame, settings: Sequence[Setting]) -> dict[str, pd.DataFrame]:
    curves: dict[str, list[dict[str, object]]] = {}
    for setting, rows in _finished(found, settings, "power"):
        name = "strata " + setting.name.split(", ")[0]
        curves.setdefault(name, []).append(
            {"degrees": setting.world.degrees, "gap": accuracy_at_stake(setting.world), "rate": called_different(rows)}
        )
    return {name: pd.DataFrame(points) for name, points in curves.items()}


def _angle_cells(curve: pd.DataFrame, degrees: float) -> list[str]:
    points = curve[curve["degrees"] == degrees]
    return [f"{points['gap'].iloc[0]:.1%}", str(points["rate"].iloc[0])] if len(points) else ["–", "–"]


def _size_curves(found: pd.DataFrame, settings: Sequence[Setting]) -> dict[str, pd.DataFrame]:
    curves: dict[str, list[dict[str, object]]] = {}
    for setting, rows in _finished(found, settings, "size"):
        name = f"a gap of {accuracy_at_stake(setting.world) * 100:.0f} points"
        curves.setdefault(name, []).append({"size": setting.world.rows[0], "rate": called_different(rows)})
    return {name: pd.DataFrame(points) for name, points in curves.items()}


def _finished(found: pd.DataFrame, settings: Sequence[Setting], block: str) -> list[tuple[Setting, pd.DataFrame]]:
    """The settings of a block that have results, with them."""
    pairs = [(setting, found[found["digest"] == setting.digest]) for setting in settings if setting.block == block]
    return [(setting, rows) for setting, rows in pairs if not rows.empty]


# ---------------------------------------------------------------------------------------- origin


def _origin(found: pd.DataFrame) -> list[str]:
    counts = found.groupby("commit", sort=False).size()
    machines = found[["processor", "cores"]].drop_duplicates()
    return [
        "## What this page stands on",
        "",
        f"- {len(found):,} studies in {found['seconds'].sum() / 60:.0f} minutes of CPU time and"
        f" {wall_seconds(found) / 60:.0f} minutes of wall time (the machine did other work beside).",
        *[f"- {number:,} studies at commit {name}." for name, number in counts.items()],
        *[f"- {row.processor}, {row.cores} cores." for row in machines.itertuples()],
        *_refused(found),
    ]


def _refused(found: pd.DataFrame) -> list[str]:
    if "reason" not in found or not found["reason"].notna().any():
        return []
    reasons = found["reason"].dropna().value_counts()
    return [f"- Refused: {number} studies ({reason})." for reason, number in reasons.items()]


def _table(header: Sequence[str], cells: Sequence[Sequence[object]]) -> str:
    return tabulate(cells, headers=list(header), tablefmt="github", disable_numparse=True)


SECTIONS: dict[str, Callable[[pd.DataFrame, Sequence[Setting], Path], list[str]]] = {
    "null": _null,
    "published": _published,
    "random": _random,
    "curved": _curved,
    "power": _power,
}
