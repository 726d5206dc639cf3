"""Which files a study rests on: its analyses, and what its comparison and its report read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heteroscope.config import BESIDE, Study, StudyContext
from heteroscope.layout.files import FIGURES_OF_CLUSTERING, leaves
from heteroscope.layout.paths import Paths


@dataclass(frozen=True)
class Studies(Paths):
    """The files of studies."""

    def assignments(self, dataset: str, backbone: str, split: str, augmentation: str, clustering: str) -> str:
        """The clusters of all images: of a split with folds the same ones in every fold."""
        return (
            f"results/cluster/{dataset}/{backbone}/{self.whole(split)}/{augmentation}/{clustering}/assignments.parquet"
        )

    def label_sets(
        self, dataset: str, backbone: str, split: str, augmentation: str, clustering: str, head: str, controls: str
    ) -> str:
        """The redrawn labels of all images: a draw covers all folds."""
        axes = f"{dataset}/{backbone}/{self.whole(split)}/{augmentation}/{clustering}/{head}/{controls}"
        return f"results/retrain/{axes}/label-sets.h5"

    def analyses(self, study: str) -> list[dict[str, Any]]:
        """The files of every backbone and clustering of a study, by the name of what they hold."""
        spec = self.config.studies[study]
        return [
            self._analysis(spec, backbone, clustering) for backbone in spec.backbones for clustering in spec.clusterings
        ]

    def _analysis(self, spec: Study, backbone: str, clustering: str) -> dict[str, Any]:
        axes = (spec.dataset, backbone, spec.split, spec.augmentation, clustering)
        cluster = Path(self.assignments(*axes)).parent
        labelled = "labels" in self.config.controls[spec.controls].arms
        return {
            "backbone": backbone,
            "clustering": clustering,
            "k": self.config.clusterings[clustering].k,
            "assignments": str(cluster / "assignments.parquet"),
            "distances": str(cluster / "distances.csv"),
            "quality": str(cluster / "quality.json"),
            "stability": str(cluster / "stability.json"),
            "projections": str(cluster / "projections.parquet"),
            "figures": {name: str(cluster / f"{name}.png") for name in FIGURES_OF_CLUSTERING},
            "label_sets": self.label_sets(*axes, spec.head, spec.controls) if labelled else None,
            "folds": [self._fold(spec, backbone, clustering, fold) for fold in self.config.folds(spec.split)],
        }

    def _fold(self, spec: Study, backbone: str, clustering: str, fold: str) -> dict[str, Any]:
        """What is trained and tested in one fold; without folds, all of it."""
        axes = f"{spec.dataset}/{backbone}/{fold}/{spec.augmentation}"
        train = f"results/train/{axes}/{spec.head}"
        retrain = f"results/retrain/{axes}/{clustering}/{spec.head}/{spec.controls}"
        arms = self.config.controls[spec.controls].arms
        return {
            "predictions": f"{train}/predictions.parquet",
            "metrics": f"{train}/metrics.json",
            "curve": f"{train}/curve.parquet",
            "labels": f"{retrain}/labels.h5" if "labels" in arms else None,
            "gaussian": f"{retrain}/gaussian.h5" if "gaussian" in arms else None,
            "runs": [
                {arm: f"{retrain}/cluster-{c}/{arm}.h5" for arm in ("cluster", "size", "balanced")}
                for c in range(self.config.clusterings[clustering].k)
            ],
        }

    def context(self, study: str) -> StudyContext:
        """The study with every entry that it names, but for those that have comparisons of their own."""
        config, spec = self.config, self.config.studies[study]
        return StudyContext(
            id=study,
            study=spec.model_copy(update={key: [] for key in BESIDE}),
            dataset=self.dataset_spec(spec.dataset),
            split=self.split(spec.split),
            augmentation=config.augmentations.get(spec.augmentation),
            backbones={part: config.backbones[part] for backbone in spec.backbones for part in self.parts(backbone)},
            clusterings={name: config.clusterings[name] for name in spec.clusterings},
            head=config.heads[spec.head],
            controls=config.controls[spec.controls],
        )

    def images_of_study(self, study: str) -> str:
        """The table of the images that a study is about."""
        return self.images(self.config.studies[study].dataset)

    def split_of_study(self, study: str, ending: str = "parquet") -> str:
        """A study's split, or its counts as a table (csv) or figure (png)."""
        spec = self.config.studies[study]
        return f"results/split/{spec.dataset}/{spec.split}.{ending}"

    def dataset_tables(self, study: str) -> list[str]:
        """The counts and rejections of a study's dataset."""
        folder = f"results/dataset/{self.config.studies[study].dataset}"
        return [f"{folder}/classes.csv", f"{folder}/rejected.csv"]

    def compared_files(self, study: str) -> list[str]:
        """All files that `analyses` names, for a rule's input."""
        return list(dict.fromkeys(leaves([_compared(entry) for entry in self.analyses(study)])))

    def shown_files(self, study: str) -> list[str]:
        """The figures and projections of a study's clusterings, and the predictions: what its report shows of each."""
        shown = [
            [
                entry["figures"],
                entry["projections"],
                entry["assignments"],
                [fold["predictions"] for fold in entry["folds"]],
            ]
            for entry in self.analyses(study)
        ]
        return list(dict.fromkeys(leaves(shown)))

    def pixels_of_study(self, study: str) -> list[str]:
        """The decoded images whose pictures a study's report shows, one file: those of the primary backbone."""
        spec = self.config.studies[study]
        return self.pixels_of(spec.dataset, spec.primary.backbone)


def _compared(entry: dict[str, Any]) -> dict[str, Any]:
    """An analysis without its names, and without what only its report shows."""
    left_out = ("backbone", "clustering", "figures", "projections")
    return {name: value for name, value in entry.items() if name not in left_out}
