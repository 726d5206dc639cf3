"""Which files stand beside the clusters: networks, explanations, classical classifiers, regressions, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heteroscope.config import Augmentation, Pixels, Study
from heteroscope.layout.files import (
    CLASSIFIER_FILES,
    END_TO_END,
    EXPLANATION_FILES,
    FEATURE_FILES,
    NETWORK_FILES,
    REGRESSION_FILES,
    SHOWN_OF_BRANCHES,
)
from heteroscope.layout.studies import Studies


@dataclass(frozen=True)
class Branches(Studies):
    """The files of what runs beside the clusters."""

    def studies_with(self, branch: str) -> list[str]:
        """Ids of the studies that list entries of a branch, such as `hybrids`."""
        return [name for name, study in self.config.studies.items() if getattr(study, branch)]

    def _in_folds(self, spec: Study, folder: str, files: Mapping[str, str]) -> dict[str, list[str]]:
        """Kind of file → its paths, one a fold; the folder has `{}` for the fold."""
        folders = [folder.format(fold) for fold in self.config.folds(spec.split)]
        return {kind: [f"{one}/{file}" for one in folders] for kind, file in files.items()}

    # ---------------------------------------------------------------------------------- networks

    def network_files(self) -> list[str]:
        """What tests of all trained networks of all studies leave behind."""
        return self._of_all_studies(self._network_folders, NETWORK_FILES)

    def _network_folders(self, spec: Study) -> dict[str, str]:
        """Trained network and fold → where what is said of its test images stands."""
        return {
            f"{network}, {fold}": f"results/finetune/{spec.dataset}/{network}/{fold}"
            for backbone in spec.backbones
            for network in self.trained_parts(backbone)
            for fold in self.config.folds(spec.split)
        }

    # ----------------------------------------------------------------------------- explanations

    def pixels_spec_of(self, backbone: str) -> Pixels:
        """How the images are decoded that all parts of a backbone look at, if its decisions are explained."""
        return self.pixels_spec(self.parts(backbone)[0])

    def recipes_of(self, dataset: str, backbone: str, split: str) -> list[str]:
        """How each part of a backbone embeds."""
        return [path for part in self.parts(backbone) for path in self.recipe(dataset, self.network(part, split))]

    def weights_of(self, dataset: str, backbone: str, split: str) -> list[str]:
        """The weights of each part of a backbone."""
        return [path for part in self.parts(backbone) for path in self.weights(dataset, self.network(part, split))]

    def part_heads(self, dataset: str, backbone: str, split: str, augmentation: str, head: str) -> list[str]:
        """Heads of the parts of a fusion, each by itself; none of a plain backbone."""
        parts = self.parts(backbone)
        if len(parts) == 1:
            return []
        return [f"results/train/{dataset}/{part}/{split}/{augmentation}/{head}/head.h5" for part in parts]

    def roots(self, dataset: str) -> dict[str, str]:
        """The folder that paths of images are relative to, under no name; of a union one for each member's id."""
        return {member: self.root(member) for member in self.members(dataset)} or {"": self.root(dataset)}

    def explained(self, study: str) -> list[dict[str, Any]]:
        """The files of every explanation of a study, on each of its backbones; lists are folds."""
        spec = self.config.studies[study]
        axes = f"{spec.augmentation}/{spec.head}"
        return [
            {"backbone": backbone, "explanation": name}
            | self._in_folds(spec, f"results/explain/{spec.dataset}/{backbone}/{{}}/{axes}/{name}", EXPLANATION_FILES)
            for backbone in spec.backbones
            for name in spec.explanations
        ]

    def explained_files(self, study: str) -> list[str]:
        """All files that `explained` names, for a rule's input."""
        return [path for entry in self.explained(study) for kind in EXPLANATION_FILES for path in entry[kind]]

    # ---------------------------------------------------------------------------------- hybrids

    def handcrafted_pixels(self, dataset: str, backbone: str, hybrid: str) -> list[str]:
        """The decoded images that a hybrid computes features of; none where it appends none."""
        return self.pixels_of(dataset, backbone) if self.config.hybrids[hybrid].handcrafted else []

    def handcrafted_augmentation(self, augmentation: str, hybrid: str) -> Augmentation | None:
        """What made the views that a hybrid computes features of."""
        return self.config.augmentations.get(augmentation) if self.config.hybrids[hybrid].handcrafted else None

    def hybrid_models(self, study: str) -> list[dict[str, Any]]:
        """The files of the head, of every hybrid and of a trained network's own head; lists are folds."""
        spec = self.config.studies[study]
        branches = [("train", spec.head, "head")]
        branches += [("hybrid", name, self.config.hybrids[name].classifier.method) for name in spec.hybrids]
        models = []
        for backbone in spec.backbones:
            models += [
                {"backbone": backbone, "classifier": name, "method": method}
                | {kind: self._of_classifier(spec, branch, backbone, name, kind) for kind in CLASSIFIER_FILES}
                for branch, name, method in branches
            ]
            if backbone in self.trained():
                models.append(self._of_network(spec, backbone))
        return models

    def _of_network(self, spec: Study, backbone: str) -> dict[str, Any]:
        """The files of a trained network with its own head, which is one for all folds."""
        folds = self.config.folds(spec.split)
        tested = [f"results/finetune/{spec.dataset}/{backbone}/{fold}" for fold in folds]
        return {
            "backbone": backbone,
            "classifier": END_TO_END,
            "method": "fine-tuned network",
            "predictions": [f"{folder}/predictions.parquet" for folder in tested],
            "metrics": [f"{folder}/metrics.json" for folder in tested],
            "times": [f"results/benchmarks/finetune/{spec.dataset}/{self.network(backbone, spec.split)}.json"],
        }

    def _of_classifier(self, spec: Study, branch: str, backbone: str, classifier: str, kind: str) -> list[str]:
        """The files of one kind that a head or hybrid leaves behind, one a fold."""
        return [
            CLASSIFIER_FILES[kind].format(f"{branch}/{spec.dataset}/{backbone}/{fold}/{spec.augmentation}/{classifier}")
            for fold in self.config.folds(spec.split)
        ]

    def hybrid_files(self, study: str) -> list[str]:
        """The results that `hybrid_models` names, for a rule's input."""
        return [path for model in self.hybrid_models(study) for path in model["predictions"] + model["metrics"]]

    def hybrid_times(self, study: str) -> list[str]:
        """The times that `hybrid_models` names: no two runs share them, so that they make nothing stale."""
        return [path for model in self.hybrid_models(study) for path in model["times"]]

    # ------------------------------------------------------------------------------ regressions

    def regressed(self, study: str) -> list[dict[str, Any]]:
        """The files of every regression of a study, on each of its backbones; lists are folds."""
        spec = self.config.studies[study]
        return [
            {"backbone": backbone, "regression": name, "method": self.config.regressions[name].regressor.method}
            | self._in_folds(
                spec, f"results/regress/{spec.dataset}/{backbone}/{{}}/{spec.augmentation}/{name}", REGRESSION_FILES
            )
            for backbone in spec.backbones
            for name in spec.regressions
        ]

    def regression_files(self, study: str) -> list[str]:
        """All files that `regressed` names, for a rule's input."""
        return [path for entry in self.regressed(study) for kind in REGRESSION_FILES for path in entry[kind]]

    # ------------------------------------------------------------------- features and backbones side by side

    def tested_part(self, backbone: str) -> str:
        """The images that features are tested on: those whose labels no part of the backbone was trained on."""
        recipes = [self.config.backbones[part].finetune for part in self.parts(backbone)]
        return "test" if any(recipe and recipe.share == "train" for recipe in recipes) else "train"

    def feature_files(self) -> list[str]:
        """What the feature analyses of all studies leave behind."""
        return self._of_all_studies(self._feature_folders, FEATURE_FILES)

    def _feature_folders(self, spec: Study) -> dict[str, str]:
        """Backbone and feature analysis → where its results stand."""
        return {
            f"{backbone}, {name}": f"results/features/{spec.dataset}/{backbone}/{spec.split}/{name}"
            for backbone in spec.backbones
            for name in spec.features
        }

    def _of_all_studies(self, folders: Callable[[Study], dict[str, str]], files: Sequence[str]) -> list[str]:
        """Files in all folders that studies name, each once."""
        found = [folder for spec in self.config.studies.values() for folder in folders(spec).values()]
        return [f"{folder}/{file}" for folder in dict.fromkeys(found) for file in files]

    def models(self, study: str) -> list[dict[str, Any]]:
        """The files of a study's head on each of its backbones, and of networks with their own heads; lists are folds.

        Beside a head stands the primary clustering of its embeddings.
        """
        spec = self.config.studies[study]
        heads: list[dict[str, Any]] = [
            {"backbone": backbone, "classifier": spec.head, "method": "head"}
            | {
                kind: self._of_classifier(spec, "train", backbone, spec.head, kind)
                for kind in ("predictions", "metrics")
            }
            | {"quality": self._analysis(spec, backbone, spec.primary.clustering)["quality"]}
            for backbone in spec.backbones
        ]
        # times are of a run: no result depends on them
        trained = [name for name in spec.backbones if name in self.trained()]
        return heads + [self._of_network(spec, name) | {"times": []} for name in trained]

    def model_studies(self) -> list[str]:
        """Ids of the studies that have backbones to compare."""
        return [name for name, study in self.config.studies.items() if len(study.backbones) > 1]

    def model_files(self, study: str) -> list[str]:
        """All files that `models` names, for a rule's input."""
        models = self.models(study)
        read = [path for model in models for path in (*model["predictions"], *model["metrics"])]
        return read + [model["quality"] for model in models if "quality" in model]

    # ------------------------------------------------------------------------- branches in a report

    def branches(self, study: str) -> list[dict[str, Any]]:
        """What a study's report shows beside the clusters: branches, their parts, and pairs of file and caption."""
        spec = self.config.studies[study]
        compare = {"": f"results/compare/{study}"}
        folders = {
            "models": compare if study in self.model_studies() else {},
            "networks": self._network_folders(spec),
            "hybrids": compare if spec.hybrids else {},
            "regressions": compare if spec.regressions else {},
            "scatters": self._fold_folders(spec, self.regressed(study), "regression", "scatters"),
            "features": self._feature_folders(spec),
            "explanations": compare if spec.explanations else {},
            "examples": self._fold_folders(spec, self.explained(study), "explanation", "sheets"),
        }
        return [
            {"branch": branch, "parts": [_shown(branch, *part) for part in parts.items()]}
            for branch, parts in folders.items()
            if parts
        ]

    def _fold_folders(self, spec: Study, entries: Sequence[Mapping[str, Any]], named: str, kind: str) -> dict[str, str]:
        """Backbone, entry and fold → where the entry's file of a kind stands."""
        return {
            f"{entry['backbone']}, {entry[named]}, {fold}": str(Path(file).parent)
            for entry in entries
            for fold, file in zip(self.config.folds(spec.split), entry[kind], strict=True)
        }

    def branch_files(self, study: str) -> list[str]:
        """All files that `branches` names, for a rule's input."""
        parts = [part for branch in self.branches(study) for part in branch["parts"]]
        return [path for part in parts for path, _ in part["files"]]


def _shown(branch: str, name: str, folder: str) -> dict[str, Any]:
    files = [(f"{folder}/{file}", caption) for file, caption in SHOWN_OF_BRANCHES[branch].items()]
    return {"name": name, "files": files}
