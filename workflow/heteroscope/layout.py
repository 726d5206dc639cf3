"""From ids to files: where every result stands, and which files a study rests on.

The one place that knows which embeddings a backbone has. Rules ask it with their wildcards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from heteroscope.config import (
    BESIDE,
    FUSION,
    NO_AUGMENTATION,
    Augmentation,
    Backbone,
    Config,
    Controls,
    Dataset,
    Finetune,
    Head,
    PhantomDataset,
    Pixels,
    Split,
    Study,
    StudyContext,
    UnionDataset,
    dataset_root,
    dump,
)
from heteroscope.data.listing import read_listing
from heteroscope.data.shards import shard_of
from heteroscope.errors import ConfigError
from heteroscope.model_names import RANDOM, TORCHVISION_WEIGHTS
from heteroscope.provenance import digest

CONTROLS_READ = {  # keys of a `controls` entry that a stage's results depend on
    "retrain": ("repeats", "seed", "views"),
    "redraw": ("draws", "power", "seed", "min_class"),
    "labels": ("min_class", "min_test"),
    "gaussian": ("repeats", "seed", "min_class", "min_test"),
}
END_TO_END = "end-to-end"  # stands among classifiers for a trained network with its own head
CLASSIFIER_FILES = {  # what a head or a hybrid leaves behind
    "predictions": "results/{}/predictions.parquet",
    "metrics": "results/{}/metrics.json",
    "times": "results/benchmarks/{}.json",  # of a run, not of its results
}
FEATURE_FILES = (
    "features.csv",
    "redundancy.csv",
    "retrieval.csv",
    "summary.json",
    "volcano.png",
    "correlations.png",
    "retrieval.png",
)
NETWORK_FILES = (  # what testing a trained network leaves behind
    "predictions.parquet",
    "metrics.json",
    "report.csv",
    "misclassified.csv",
    "curves.png",
    "confusion.png",
    "first.png",
    "wrong.png",
)
EXPLANATION_FILES = {
    "cams": "cams.csv",
    "summaries": "summary.json",
    "features": "features.csv",
    "sheets": "examples.png",
    "feature_sheets": "features.png",
}
REGRESSION_FILES = {"predictions": "predictions.parquet", "metrics": "metrics.json", "scatters": "scatter.png"}
SHOWN_OF_BRANCHES = {  # what a report shows beside the clusters: file → caption
    "models": {
        "models.png": "models",
        "models.csv": "models",
        "roc.png": "roc",
        "model-tests.csv": "model-tests",
    },
    "networks": {
        "curves.png": "network-curves",
        "report.csv": "network-report",
        "confusion.png": "network-confusion",
        "first.png": "network-first",
        "wrong.png": "network-wrong",
        "misclassified.csv": "network-misclassified",
    },
    "hybrids": {
        "hybrids.csv": "hybrids",
        "hybrid-classes.csv": "hybrid-classes",
        "hybrid-times.png": "hybrid-times",
        "hybrid-confusions.png": "hybrid-confusions",
        "hybrid-tests.csv": "hybrid-tests",
    },
    "regressions": {"regressions.csv": "regressions"},
    "scatters": {"scatter.png": "regression-scatter"},
    "features": {
        "volcano.png": "volcano",
        "features.csv": "features",
        "correlations.png": "correlations",
        "redundancy.csv": "redundancy",
        "retrieval.csv": "retrieval",
        "retrieval.png": "retrieval-sheet",
    },
    "explanations": {"explanations.csv": "explanations"},
    "examples": {"examples.png": "explain-examples", "features.png": "explain-features"},
}
FIGURES_OF_CLUSTERING = ("centroid-distances", "pca", "umap", "dendrogram", "exemplars")


@dataclass(frozen=True)
class Layout:
    """The paths of a configuration's results, relative to the working directory."""

    config: Config

    # ------------------------------------------------------------------------------------- data

    def generated(self) -> list[str]:
        """Ids of datasets that the workflow generates."""
        return [name for name, spec in self.config.datasets.items() if isinstance(spec, PhantomDataset)]

    def scanned(self) -> dict[str, tuple[Path, list[str]]]:
        """Dataset id → its root and the tables below it, for datasets that live in a folder."""
        found = {}
        for name, spec in self.config.datasets.items():
            if (root := dataset_root(self.config, name)) is not None:
                found[name] = (root, spec.tables)
        return found

    def dataset_spec(self, dataset: str) -> Dataset:
        """What a dataset's images depend on: its entry without the number of jobs that embed them."""
        return self.config.datasets[dataset].model_copy(update={"scatter": 1})

    def members(self, dataset: str) -> list[str]:
        """Ids of the datasets that a union is made of."""
        spec = self.config.datasets[dataset]
        return list(spec.datasets) if isinstance(spec, UnionDataset) else []

    def member_images(self, dataset: str) -> list[str]:
        """The tables of a union's members."""
        return [self.images(member) for member in self.members(dataset)]

    def member_flags(self, dataset: str) -> str:
        """The command-line flags that name a union's members and their tables."""
        return " ".join(f"--member {member}={self.images(member)}" for member in self.members(dataset))

    def member_pixels(self, dataset: str, pixels: str) -> list[str]:
        """Decoded images of a union's members: their rows are copied, not decoded again."""
        return [f"results/dataset/{member}/{pixels}/pixels.h5" for member in self.members(dataset)]

    def root(self, dataset: str) -> str:
        """The folder that the paths of a dataset, not of a union, are relative to."""
        root = dataset_root(self.config, dataset)
        return f"results/phantom/{dataset}" if root is None else str(root)

    def root_flag(self, dataset: str) -> list[str]:
        """The command-line words that name a dataset's folder; none for a union, which has none."""
        return [] if self.members(dataset) else ["--root", self.root(dataset)]

    def listing(self, dataset: str) -> str:
        """The list of a dataset's files, which stands for the folder in the DAG."""
        return f"results/dataset/{dataset}/listing.tsv"

    def listings(self, dataset: str) -> list[str]:
        """The listing that a dataset is read by; none for a union, which is read by its members' tables."""
        return [] if self.members(dataset) else [self.listing(dataset)]

    def images(self, dataset: str) -> str:
        """The table of a dataset's usable images."""
        return f"results/dataset/{dataset}/images.parquet"

    def pixels_of(self, dataset: str, backbone: str) -> list[str]:
        """The decoded images that a backbone looks at, one file; of a fusion, its first part's."""
        first = self.parts(backbone)[0]
        return [f"results/dataset/{dataset}/{self.config.backbones[first].pixels}/pixels.h5"]

    def pixels_spec(self, backbone: str) -> Pixels:
        """How the images that a plain backbone looks at are decoded."""
        return self.config.pixels[self.config.backbones[backbone].pixels]

    def class_names(self, dataset: str) -> list[str]:
        """Class names in the order of their integer labels."""
        return self.config.datasets[dataset].class_names

    def split(self, split: str) -> Split:
        """The config entry of a split or of one of its folds."""
        return self.config.splits[self.whole(split)]

    def whole(self, split: str) -> str:
        """The split that a fold is one of: of all that is the same in every fold. A split is its own whole."""
        return self._folds.get(split, (split, 0))[0]

    def fold_flag(self, split: str) -> str:
        """The command-line flag that names a fold; empty for a split as a whole."""
        return f"--fold {self._folds[split][1]}" if split in self._folds else ""

    @cached_property
    def _folds(self) -> dict[str, tuple[str, int]]:
        """Id of a fold → its split and its number, from 1."""
        folded = [name for name, split in self.config.splits.items() if split.folds]
        return {fold: (name, number) for name in folded for number, fold in enumerate(self.config.folds(name), 1)}

    # -------------------------------------------------------------------------------- backbones

    def parts(self, backbone: str) -> list[str]:
        """The backbones that a fusion is made of; a plain backbone is its own only part."""
        return backbone.split(FUSION)

    def is_trained(self, backbone: str) -> bool:
        """Whether a plain backbone is trained by the study itself."""
        return self.config.backbones[backbone].finetune is not None

    def trained(self) -> list[str]:
        """Ids of backbones that are trained by a study."""
        return [name for name in self.config.backbones if self.is_trained(name)]

    def network(self, backbone: str, split: str) -> str:
        """A plain backbone as it stands in paths: with the split that it is trained on, if it is.

        The share B, on which it is trained, is that of all folds.
        """
        return f"{backbone}/{self.whole(split)}" if self.is_trained(backbone) else backbone

    def networks(self) -> list[str]:
        """Every plain backbone as it may stand in paths."""
        splits = self.config.splits
        return list(dict.fromkeys(self.network(name, split) for name in self.config.backbones for split in splits))

    def finetune_augmentation(self, backbone: str) -> Augmentation | None:
        """How images are varied while a backbone is trained."""
        recipe = self.config.backbones[backbone].finetune
        return self.config.augmentations.get(recipe.augmentation) if recipe else None

    def weights(self, dataset: str, network: str) -> list[str]:
        """The weights that a network embeds with, one file."""
        trained = network not in self.config.backbones
        return [f"results/finetune/{dataset}/{network}/model.pt" if trained else f"results/weights/{network}.pt"]

    def weights_files(self, backbone: str) -> list[str]:
        """The user's file that a plain backbone starts from; none for published or random weights."""
        value = self._origin_of_weights(backbone)[1]
        return [] if value == RANDOM or value in TORCHVISION_WEIGHTS else [str(Path(value))]

    def check_weights_files(self) -> None:
        """Refuse a weights file that is missing, before a job asks for it.

        Raises:
            ConfigError: with the key and the path.
        """
        for backbone in self.config.backbones:
            key, value = self._origin_of_weights(backbone)
            if not all(Path(path).is_file() for path in self.weights_files(backbone)):
                raise ConfigError(
                    f"backbones.{backbone}.{key}: {value!r}: no such file; put it there, or name another file, a"
                    " published weight name (such as IMAGENET1K_V1), or `random`"
                )

    def _origin_of_weights(self, backbone: str) -> tuple[str, str]:
        """The key of the entry that says where a plain backbone's weights begin, and its value."""
        spec = self.config.backbones[backbone]
        return ("finetune.initial", spec.finetune.initial) if spec.finetune else ("weights", spec.weights)

    def weights_spec(self, backbone: str) -> Backbone:
        """What a plain backbone's initial weights depend on: its entry with all else at the defaults."""
        spec = self.config.backbones[backbone]
        recipe = Finetune(initial=spec.finetune.initial) if spec.finetune else None
        return Backbone(model=spec.model, weights=spec.weights, pixels="any", seed=spec.seed, finetune=recipe)

    def finetune_spec(self, backbone: str) -> Backbone:
        """What training a backbone depends on beside its files: model and recipe, all else at the defaults."""
        spec = self.config.backbones[backbone]
        return Backbone(model=spec.model, weights=spec.weights, pixels="any", finetune=spec.finetune)

    def finetuned(self, dataset: str, backbone: str, split: str, file: str) -> str:
        """A file that training a backbone leaves behind; it is that of all folds."""
        return f"results/finetune/{dataset}/{backbone}/{self.whole(split)}/{file}"

    def network_probabilities(self, dataset: str, backbone: str, split: str) -> str:
        """What a trained network says of all images that a fold tests."""
        return self.finetuned(dataset, backbone, split, "probabilities.parquet")

    def network_summary(self, dataset: str, backbone: str, split: str) -> str:
        """What a trained network stands on."""
        return self.finetuned(dataset, backbone, split, "network.json")

    def network_history(self, dataset: str, backbone: str, split: str) -> str:
        """The training of a network by epoch."""
        return self.finetuned(dataset, backbone, split, "history.csv")

    def trained_parts(self, backbone: str) -> list[str]:
        """The plain backbones of a fusion, or the one, that are trained by the study itself."""
        return [part for part in self.parts(backbone) if self.is_trained(part)]

    def network_files(self) -> list[str]:
        """What tests of all trained networks of all studies leave behind."""
        files = [
            f"results/finetune/{spec.dataset}/{network}/{fold}/{file}"
            for spec in self.config.studies.values()
            for backbone in spec.backbones
            for network in self.trained_parts(backbone)
            for fold in self.config.folds(spec.split)
            for file in NETWORK_FILES
        ]
        return list(dict.fromkeys(files))

    def engine_spec(self, backbone: str) -> Backbone:
        """What the choice of an engine depends on beside its files: the entry without what they tell."""
        without = {"weights": RANDOM, "finetune": None, "seed": 0, "pixels": "any"}
        return self.config.backbones[backbone].model_copy(update=without)

    # ------------------------------------------------------------------------------- embeddings

    def ids(self, wildcards: Mapping[str, str]) -> dict[str, str]:
        """Wildcards and what follows from them: a network's backbone, or a plain backbone's network."""
        found = dict(wildcards)
        if "network" in found:
            found["backbone"] = found["network"].split("/")[0]
        elif "split" in found and found.get("backbone") in self.config.backbones:
            found["network"] = self.network(found["backbone"], found["split"])
        return found

    def recipe(self, dataset: str, network: str) -> list[str]:
        """How a network embeds the images of a dataset, one file."""
        return [f"results/embed/{dataset}/{network}/engine.json"]

    def embeddings(self, dataset: str, network: str) -> str:
        """A network's embeddings of the original images."""
        return f"results/embed/{dataset}/{network}/embeddings.h5"

    def views(self, dataset: str, backbone: str, split: str, augmentation: str) -> str:
        """A plain backbone's embeddings of augmented training images, of all folds."""
        return f"results/embed/{dataset}/{backbone}/{self.whole(split)}/{augmentation}/views.h5"

    def embeddings_of(self, dataset: str, backbone: str, split: str) -> list[str]:
        """Files of the embeddings of the original images, one a part of a fusion."""
        return [self.embeddings(dataset, self.network(part, split)) for part in self.parts(backbone)]

    def views_of(self, dataset: str, backbone: str, split: str, augmentation: str) -> list[str]:
        """Files of the embeddings of augmented training images; none without augmentation."""
        if augmentation == NO_AUGMENTATION:
            return []
        return [self.views(dataset, part, split, augmentation) for part in self.parts(backbone)]

    def view_flags(self, dataset: str, split: str, augmentation: str) -> list[str]:
        """The command-line words that say which views are made."""
        made = dump(self.config.augmentations[augmentation])
        return ["--split", f"results/split/{dataset}/{split}.parquet", "--augmentation", made]

    def parts_of_embeddings(self, dataset: str, network: str) -> list[str]:
        """Files whose rows an embedding copies: of a union its members', of a scattered dataset its shards."""
        if self.members(dataset) and network in self.config.backbones:
            return [self.embeddings(member, network) for member in self.members(dataset)]
        return self._shards(dataset, self.embeddings(dataset, network))

    def parts_of_views(self, dataset: str, backbone: str, split: str, augmentation: str) -> list[str]:
        """Files whose rows the views of a scattered dataset are copied from."""
        return self._shards(dataset, self.views(dataset, backbone, split, augmentation))

    def _shards(self, dataset: str, whole: str) -> list[str]:
        count = self.config.datasets[dataset].scatter
        return [f"{Path(whole).parent}/shards/{count}/{shard}.h5" for shard in range(1, count + 1)] if count > 1 else []

    def shard_flag(self, shards: str, shard: str) -> str:
        """The command-line flag that names a shard."""
        return f"--shard {shard}/{shards}"

    def shard_listings(self, dataset: str) -> list[str]:
        """Listings that are made by the workflow, of a dataset or of a union's members."""
        return [self.listing(name) for name in self.members(dataset) or [dataset] if name in self.generated()]

    def shard_contents(self, dataset: str, shards: str, shard: str) -> str:
        """A digest of all listed files that the images of a shard may come from."""
        names = [name for name in self.members(dataset) or [dataset] if name not in self.generated()]
        return digest(
            [[sha for sha in self._listed[name] if shard_of(sha, int(shards)) == int(shard)] for name in names]
        )

    @cached_property
    def _listed(self) -> dict[str, list[str]]:
        """SHA-256 of every image below the root of a dataset that lives in a folder, by its id."""
        return {
            name: [
                file.sha256
                for file in read_listing(Path(self.listing(name)))
                if file.sha256 and file.path not in tables
            ]
            for name, (_, tables) in self.scanned().items()
        }

    # ------------------------------------------------------------------------------------- arms

    def controls_of(self, stage: str, controls: str) -> Controls:
        """What a stage reads of a `controls` entry, all else at the defaults."""
        spec = self.config.controls[controls]
        return Controls(**{name: getattr(spec, name) for name in CONTROLS_READ[stage]})

    def redraw_head(self, head: str) -> Head:
        """What redrawn labels depend on of a head, which is not trained for them: the features that it sees."""
        return Head(standardize=self.config.heads[head].standardize)

    # ---------------------------------------------------------------------------------- studies

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
        return list(dict.fromkeys(_leaves([_compared(entry) for entry in self.analyses(study)])))

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
        return list(dict.fromkeys(_leaves(shown)))

    def pixels_of_study(self, study: str) -> list[str]:
        """The decoded images whose pictures a study's report shows, one file: those of the primary backbone."""
        spec = self.config.studies[study]
        return self.pixels_of(spec.dataset, spec.primary.backbone)

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

    def explained_studies(self) -> list[str]:
        """Ids of the studies that list explanations."""
        return [name for name, study in self.config.studies.items() if study.explanations]

    def explained(self, study: str) -> list[dict[str, Any]]:
        """The files of every explanation of a study, on each of its backbones; lists are folds."""
        spec = self.config.studies[study]
        axes = f"{spec.augmentation}/{spec.head}"
        return [
            {"backbone": backbone, "explanation": name}
            | {
                kind: [
                    f"results/explain/{spec.dataset}/{backbone}/{fold}/{axes}/{name}/{file}"
                    for fold in self.config.folds(spec.split)
                ]
                for kind, file in EXPLANATION_FILES.items()
            }
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

    def hybrid_studies(self) -> list[str]:
        """Ids of the studies that list hybrids."""
        return [name for name, study in self.config.studies.items() if study.hybrids]

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

    def regression_studies(self) -> list[str]:
        """Ids of the studies that list regressions."""
        return [name for name, study in self.config.studies.items() if study.regressions]

    def regressed(self, study: str) -> list[dict[str, Any]]:
        """The files of every regression of a study, on each of its backbones; lists are folds."""
        spec = self.config.studies[study]
        return [
            {"backbone": backbone, "regression": name, "method": self.config.regressions[name].regressor.method}
            | {
                kind: [
                    f"results/regress/{spec.dataset}/{backbone}/{fold}/{spec.augmentation}/{name}/{file}"
                    for fold in self.config.folds(spec.split)
                ]
                for kind, file in REGRESSION_FILES.items()
            }
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
        files = [
            f"results/features/{spec.dataset}/{backbone}/{spec.split}/{name}/{file}"
            for spec in self.config.studies.values()
            for backbone in spec.backbones
            for name in spec.features
            for file in FEATURE_FILES
        ]
        return list(dict.fromkeys(files))

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
        networks = {
            f"{network}, {fold}": f"results/finetune/{spec.dataset}/{network}/{fold}"
            for backbone in spec.backbones
            for network in self.trained_parts(backbone)
            for fold in self.config.folds(spec.split)
        }
        features = {
            f"{backbone}, {name}": f"results/features/{spec.dataset}/{backbone}/{spec.split}/{name}"
            for backbone in spec.backbones
            for name in spec.features
        }
        examples = {
            f"{entry['backbone']}, {entry['explanation']}, {fold}": str(Path(sheet).parent)
            for entry in self.explained(study)
            for fold, sheet in zip(self.config.folds(spec.split), entry["sheets"], strict=True)
        }
        scatters = {
            f"{entry['backbone']}, {entry['regression']}, {fold}": str(Path(scatter).parent)
            for entry in self.regressed(study)
            for fold, scatter in zip(self.config.folds(spec.split), entry["scatters"], strict=True)
        }
        folders = {
            "models": compare if study in self.model_studies() else {},
            "networks": networks,
            "hybrids": compare if spec.hybrids else {},
            "regressions": compare if spec.regressions else {},
            "scatters": scatters,
            "features": features,
            "explanations": compare if spec.explanations else {},
            "examples": examples,
        }
        return [
            {"branch": branch, "parts": [_shown(branch, *part) for part in parts.items()]}
            for branch, parts in folders.items()
            if parts
        ]

    def branch_files(self, study: str) -> list[str]:
        """All files that `branches` names, for a rule's input."""
        parts = [part for branch in self.branches(study) for part in branch["parts"]]
        return [path for part in parts for path, _ in part["files"]]


def _shown(branch: str, name: str, folder: str) -> dict[str, Any]:
    files = [(f"{folder}/{file}", caption) for file, caption in SHOWN_OF_BRANCHES[branch].items()]
    return {"name": name, "files": files}


def _compared(entry: dict[str, Any]) -> dict[str, Any]:
    """An analysis without its names, and without what only its report shows."""
    left_out = ("backbone", "clustering", "figures", "projections")
    return {name: value for name, value in entry.items() if name not in left_out}


def _leaves(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [leaf for child in children for leaf in _leaves(child)]
