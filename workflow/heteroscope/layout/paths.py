"""Where images, networks and embeddings stand, and what each depends on.

The one place that knows which embeddings a backbone has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from heteroscope.config import (
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
    UnionDataset,
    dataset_root,
    dump,
)
from heteroscope.data.listing import read_listing
from heteroscope.data.shards import shard_of
from heteroscope.errors import ConfigError
from heteroscope.layout.files import CONTROLS_READ
from heteroscope.model_names import RANDOM, TORCHVISION_WEIGHTS
from heteroscope.provenance import digest


@dataclass(frozen=True)
class Paths:
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
