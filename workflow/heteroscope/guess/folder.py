"""Classes, patients and attributes of a folder of images, guessed from its sub-folders and file names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from heteroscope.data.listing import IMAGE_ENDINGS, scan
from heteroscope.errors import DataError
from heteroscope.guess.guesses import (
    FEWEST_PATIENTS,
    MOST_CLASSES,
    Guess,
    class_doubts,
    class_sentence,
    in_order,
    is_negative,
    refuse_one_class,
    shown,
)

REMEDY = "name the folder that holds a folder of images for each class, or the table that lists the images"
CLASS_FOLDERS = "put the images of each class into a folder of its own"
TABLES = (".csv", ".tsv", ".tab")
PUBLISHED = {  # a file that tells a published collection, and the adapter that knows all of it
    "full_df.csv": "odir5k",
    "Data_Entry_2017.csv": "nih-cxr",
    "INbreast.csv": "inbreast",
    "mass_case_description_train_set.csv": "cbis-ddsm",
}
FEWEST_A_PATIENT = 1.1  # images, on average: else names say nothing of patients
LONGEST_PREFIX = 6  # parts of a name that are tried as a patient
LARGEST_SHARE = 0.2  # of the images, that one patient may have
PART_OF_NAME = r"[^/_\-. ]+"
BETWEEN = r"[_\-. ]"


@dataclass(frozen=True)
class Levels:
    """What the folders between the root and the images stand for.

    Attributes:
        names: the name of each, of every image, one list a level.
        label: number of the level that names the class.
        part: number of the level that names the source's own split, if any.
        group: number of the level that names the patient, if any.
        attributes: number → name of the attribute, of other levels.
    """

    names: list[list[str]]
    label: int
    part: int | None
    group: int | None
    attributes: dict[int, str]

    def pattern(self, of_name: str | None) -> str | None:
        """The regular expression of a path; None where the adapter's own rule, the first folder, says as much."""
        roles = {self.label: "label", self.part: "part", self.group: "group"}
        names = [roles.get(level, self.attributes.get(level)) for level in range(len(self.names))]
        folders = [f"(?P<{name}>[^/]+)" if name else "[^/]+" for name in names]
        while of_name is None and not folders[-1].startswith("(?P"):
            folders.pop()
        pattern = f"^{'/'.join(folders)}/" + (f"(?:.*/)?{of_name}" if of_name else "")
        return None if pattern == "^(?P<label>[^/]+)/" else pattern


def guess_folder(root: Path) -> Guess:
    """Guess what the sub-folders and names of a folder of images mean.

    Raises:
        DataError: there is no such folder, it holds no image, or no two classes can be told; with what to do.
    """
    paths = list(scan(root, remedy=REMEDY))
    refuse_published(root)
    inside = [PurePosixPath(path) for path in paths if "/" in path]
    if not inside:
        raise DataError(f"{root}: its images ({len(paths)}) lie in no sub-folder; {_class_remedy(root)}")
    wrapped = _wrapping(inside)
    inside = [path.relative_to(wrapped) for path in inside]
    levels = _levels([path.parts[:-1] for path in inside], root, _class_remedy(root))
    labels = levels.names[levels.label]
    of_name = _patient_in_names(inside) if levels.group is None else None
    counts = {name: labels.count(name) for name in in_order(set(labels))}
    dataset = {"adapter": "folder", "root": (root / wrapped).as_posix()}
    if pattern := levels.pattern(of_name):
        dataset["pattern"] = pattern
    found = {"classes": class_sentence(counts, f"folders of level {levels.label + 1} below {root / wrapped}")}
    doubts = class_doubts(counts)
    found["patients"], doubt = _patients(pattern, inside, levels, of_name)
    doubts += [doubt, *_doubts_of_levels(levels)]
    if levels.attributes:
        found["attributes"] = "; ".join(
            f"{name}: folders of level {level + 1} ({shown(sorted(set(levels.names[level])))})"
            for level, name in levels.attributes.items()
        )
    if outside := len(paths) - len(inside):
        doubts.append(f"{outside} images lie in no sub-folder: without a class, they will be rejected as `unlabelled`")
    words = _words_of_parts(levels)
    if levels.part is not None:
        names = sorted(set(levels.names[levels.part]))
        found["split"] = f"its own: folders of level {levels.part + 1} ({shown(names)})"
    return Guess(
        dataset | {"classes": {name: [name] for name in counts}},
        counts,
        tested=words.count("test") if words else None,
        validated="validation" in words,
        found=found,
        doubts=doubts,
    )


def refuse_published(root: Path) -> None:
    """Refuse a folder of a published collection that an adapter of its own reads.

    Raises:
        DataError: naming the adapter.
    """
    for name, adapter in PUBLISHED.items():
        if (root / name).is_file():
            raise DataError(
                f"{root}: {name} there belongs to a published collection; the adapter {adapter!r} reads it, with its"
                " patients and attributes: see config/README.md and config/studies"
            )


def _class_remedy(root: Path) -> str:
    tables = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLES)
    if tables:
        return f"{CLASS_FOLDERS}; if a table gives their classes, name it: heteroscope init {tables[0]}"
    return f"{CLASS_FOLDERS}, or name a table that gives their classes"


# ------------------------------------------------------------------------------------------ levels


def _wrapping(paths: Sequence[PurePosixPath]) -> PurePosixPath:
    """The folders that all images have in common, but for the one that they lie in."""
    folders = {path.parts[:-1] for path in paths}
    depth, first = min(map(len, folders)) - 1, min(folders)
    common = 0
    while common < depth and len({folder[common] for folder in folders}) == 1:
        common += 1
    return PurePosixPath(*first[:common])


def _levels(folders: Sequence[tuple[str, ...]], root: Path, remedy: str) -> Levels:
    """What each level of folders that all images have stands for."""
    names = [[folder[level] for folder in folders] for level in range(min(map(len, folders)))]
    part = next((level for level, words in enumerate(names) if _is_split(words)), None)
    others = [level for level in range(len(names)) if level != part]
    possible = [level for level in others if 2 <= len(set(names[level])) <= MOST_CLASSES]
    if not others:
        words = shown(sorted(set(names[0])))
        raise DataError(f"{root}: the folders {words} are a split, and none below them name classes; {remedy}")
    if not possible:
        most = max((sorted(set(names[level])) for level in others), key=len)
        refuse_one_class(most, f"{root}: the folders that could be classes have the names", remedy)
    label = min(possible, key=lambda level: (not any(map(is_negative, names[level])), len(set(names[level])), level))
    others.remove(label)
    group = next((level for level in others if _may_be_patients(names[level])), None)
    rest = [level for level in others if level != group and 2 <= len(set(names[level])) <= MOST_CLASSES]
    attributes = {level: "folder" if number == 0 else f"folder_{number + 1}" for number, level in enumerate(rest)}
    return Levels(names, label, part, group, attributes)


def _is_split(words: Sequence[str]) -> bool:
    """Whether folders are those of a source's own split, one of them for testing."""
    from heteroscope.data.splits import SOURCE_PARTS

    known = [SOURCE_PARTS.get(word.lower()) for word in set(words)]
    return None not in known and "test" in known and len(known) > 1


def _words_of_parts(levels: Levels) -> list[str]:
    """Of every image, the part of the source's own split; empty where it has none."""
    from heteroscope.data.splits import SOURCE_PARTS

    return [] if levels.part is None else [SOURCE_PARTS[word.lower()] for word in levels.names[levels.part]]


def _may_be_patients(names: Sequence[str]) -> bool:
    """Whether names are many enough for patients, some have several images, and none has most of them."""
    images = Counter(names)
    enough = len(images) >= FEWEST_PATIENTS and len(names) / len(images) >= FEWEST_A_PATIENT
    return enough and max(images.values()) <= LARGEST_SHARE * len(names)


def _doubts_of_levels(levels: Levels) -> list[str]:
    if not levels.attributes:
        return []
    numbers = " and ".join(str(level + 1) for level in levels.attributes)
    return [
        f"folders of level {numbers} are taken for an attribute, not for the class; if it is the other way round,"
        " exchange the names in `pattern` and list the other folders in `classes`"
    ]


# ---------------------------------------------------------------------------------------- patients


def _patient_in_names(paths: Sequence[PurePosixPath]) -> str | None:
    """The end of a pattern that finds a patient in file names: the shortest beginning that several images share."""
    ends = "|".join(ending[1:] for ending in IMAGE_ENDINGS)
    for length in range(1, LONGEST_PREFIX + 1):
        prefix = BETWEEN.join([PART_OF_NAME] * length)
        pattern = f"(?P<group>{prefix}){BETWEEN}[^/]*$"
        # what stands before the ending alone is a whole name, and nobody's beginning
        found = [re.match(f"({prefix}){BETWEEN}(?!(?:{ends})$)", path.name, re.IGNORECASE) for path in paths]
        if all(found) and _may_be_patients([match[1] for match in found if match]):
            return pattern
    return None


def _patients(
    pattern: str | None, paths: Sequence[PurePosixPath], levels: Levels, of_name: str | None
) -> tuple[str, str]:
    """What was found of patients, and what to check about it."""
    if pattern is None or "(?P<group>" not in pattern:
        return (
            "none found: neither folders nor the beginnings of names are shared by several images of many patients",
            "whether patients have several images: then say in `pattern` how a path names the patient, or one patient"
            " may both train and test",
        )
    matches = [(path, re.search(pattern, str(path))) for path in paths]
    groups = Counter(match["group"] for _, match in matches if match)
    example = next((path, match["group"]) for path, match in matches if match and groups[match["group"]] > 1)
    where = "the beginning of a file's name" if of_name else f"folders of level {(levels.group or 0) + 1}"
    return (
        f"{len(groups)}, by {where}: {example[0]} is taken for an image of patient {example[1]!r}",
        f"whether {example[1]!r} is a patient; if not, mend or remove `pattern`",
    )
