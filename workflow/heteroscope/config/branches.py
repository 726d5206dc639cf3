"""The schema of what a study runs beside the clusters: classical classifiers on embeddings."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from heteroscope.config.base import Closed, Positive, Seed, distinct
from heteroscope.config.experiment import Metric, Reduction

PlainValue = str | int | float | None
Value = PlainValue | list[Positive]
Tried = TypeVar("Tried")
PositiveNumber = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Handcrafted = Literal["colour-moments", "haralick", "lbp", "hog"]


class Forest(Closed):
    """What random forests of classes and of numbers share."""

    method: Literal["random-forest"] = Field(description="random forest")
    n_estimators: Positive = Field(100, description="trees")
    max_depth: Positive | None = Field(None, description="levels of a tree; null: until its leaves are pure")
    min_samples_leaf: Positive = Field(1, description="fewest training rows in a leaf")
    max_features: Literal["sqrt", "log2"] | Share | None = Field(
        "sqrt", description="how many features a division may choose among: a rule, a share, or null for all"
    )


class RandomForest(Forest):
    """scikit-learn's RandomForestClassifier."""

    criterion: Literal["gini", "entropy"] = Field("gini", description="what a division of a tree lowers")


class AdaBoost(Closed):
    """scikit-learn's AdaBoostClassifier over decision trees."""

    method: Literal["adaboost"] = Field(description="AdaBoost over decision trees")
    n_estimators: Positive = Field(50, description="most trees")
    learning_rate: PositiveNumber = Field(1.0, description="weight of each tree")
    max_depth: Positive = Field(3, description="levels of a tree")


class XGBoost(Closed):
    """XGBoost's XGBClassifier."""

    method: Literal["xgboost"] = Field(description="XGBoost")
    n_estimators: Positive = Field(100, description="rounds of boosting")
    learning_rate: PositiveNumber = Field(0.3, description="weight of each tree")
    max_depth: Positive = Field(6, description="levels of a tree")
    min_child_weight: NotNegative = Field(1.0, description="least weight of the rows in a leaf")
    gamma: NotNegative = Field(0.0, description="least gain of a division")
    subsample: Share = Field(1.0, description="share of the rows that a tree is grown on")
    colsample_bytree: Share = Field(1.0, description="share of the features that a tree is grown on")
    reg_alpha: NotNegative = Field(0.0, description="L1 penalty of the leaves' weights")
    reg_lambda: NotNegative = Field(1.0, description="L2 penalty of the leaves' weights")


class Logistic(Closed):
    """scikit-learn's LogisticRegression with an L2 penalty."""

    method: Literal["logistic"] = Field(description="logistic regression with an L2 penalty")
    C: PositiveNumber = Field(1.0, description="inverse of the penalty")
    max_iter: Positive = Field(1000, description="most steps of the solver")


class SupportVectors(Closed):
    """scikit-learn's SVC; its margins become probabilities by a logistic curve that is fitted by patient."""

    method: Literal["svm"] = Field(description="support vector machine")
    C: PositiveNumber = Field(1.0, description="inverse of the penalty")
    kernel: Literal["linear", "rbf", "poly", "sigmoid"] = Field("rbf", description="kernel")
    gamma: Literal["scale", "auto"] | PositiveNumber = Field("scale", description="width of the kernel; not of linear")
    degree: Positive = Field(3, description="of the kernel poly")


class MultilayerPerceptron(Closed):
    """scikit-learn's MLPClassifier, trained by Adam on the cross-entropy.

    Its early stopping is left out: it would hold out rows, not patients. `max_iter` and `alpha` can be tuned instead.
    """

    method: Literal["mlp"] = Field(description="dense layers (multilayer perceptron)")
    hidden_layer_sizes: Annotated[list[Positive], Field(min_length=1)] = Field(
        default=[100], description="units of each hidden layer"
    )
    activation: Literal["relu", "tanh", "logistic"] = Field("relu", description="of the hidden units")
    alpha: NotNegative = Field(0.0001, description="L2 penalty of the weights")
    learning_rate_init: PositiveNumber = Field(0.001, description="learning rate of Adam")
    batch_size: Literal["auto"] | Positive = Field("auto", description="rows a step; auto: 200, or all if fewer")
    max_iter: Positive = Field(
        200, description="most epochs; it ends before where the training loss falls by less than 0.0001 for 10 epochs"
    )


class NearestNeighbours(Closed):
    """scikit-learn's KNeighborsClassifier."""

    method: Literal["knn"] = Field(description="nearest neighbours")
    n_neighbors: Positive = Field(5, description="neighbours that vote")
    weights: Literal["uniform", "distance"] = Field("uniform", description="distance: nearer ones count more")
    metric: Literal["euclidean", "manhattan", "cosine"] = Field("euclidean", description="distance")


Classifier = Annotated[
    RandomForest | AdaBoost | XGBoost | Logistic | SupportVectors | MultilayerPerceptron | NearestNeighbours,
    Field(discriminator="method"),
]


class Search(Closed, Generic[Tried]):
    """Cross-validation on the training images, all images of a patient on one side, that chooses hyper-parameters."""

    grid: dict[str, Annotated[list[Tried], Field(min_length=1), AfterValidator(distinct)]] = Field(
        description="key of what is tuned → the values to try; all combinations, in this order"
    )
    search: Literal["grid", "random"] = Field("grid", description="all combinations, or some that are drawn at random")
    draws: Positive = Field(20, description="how many combinations a random search tries")
    folds: Annotated[int, Field(ge=2)] = Field(5, description="folds of patients")
    seed: Seed = Field(0, description="of folds, random search and the trainings that are compared")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.grid:
            raise ValueError("grid: names no key; list one, or leave `tuning` out")
        return self

    def combinations(self) -> list[dict[str, Tried]]:
        """All combinations of values, the last key varying fastest."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def check(self, estimator: Any) -> None:
        """Compare the grid with the entry of what is tuned.

        Raises:
            ValueError: it has no such key, or a value is not allowed.
        """
        known = [name for name in type(estimator).model_fields if name != "method"]
        for key, values in self.grid.items():
            if key not in known:
                raise ValueError(f"tuning.grid.{key}: {estimator.method} has no such key; known: {', '.join(known)}")
            for value in values:
                try:
                    altered(estimator, {key: value})
                except ValidationError as error:
                    raise ValueError(f"tuning.grid.{key}: {value!r}: {error.errors()[0]['msg']}") from None


def altered(estimator: Any, parameters: dict[str, Any]) -> Any:
    """The entry of a classifier or regressor with other hyper-parameters.

    Raises:
        ValidationError: a value is not allowed.
    """
    return type(estimator).model_validate(estimator.model_dump() | parameters)


class Tuning(Search[Value]):
    """The search for a classifier's hyper-parameters; its folds are stratified by class."""

    metric: Metric = Field("accuracy", description="what is largest, as a mean over folds; the first of equal ones")


class Hybrid(Closed):
    """A classical classifier on embeddings, in place of the network's own last layer."""

    classifier: Classifier = Field(description="the classifier and its hyper-parameters")
    standardize: bool = Field(
        True, description="give every feature mean 0 and spread 1 over the training rows; trees do not need it"
    )
    reduce: Reduction = Field(Reduction(), description="principal components of the training rows, or none")
    handcrafted: Annotated[list[Handcrafted], AfterValidator(distinct)] = Field(
        default=[], description="features computed from the decoded images, appended to the embedding"
    )
    imbalance: Literal["none", "smote", "oversample", "undersample", "class-weights"] = Field(
        "none", description="how classes of different size are made equal while training; test images stay as they are"
    )
    tuning: Tuning | None = Field(None, description="how hyper-parameters are chosen; null: as given")
    seeds: Positive = Field(5, description="trainings; metrics are their means. One where nothing is random")

    @model_validator(mode="after")
    def _weights_are_used(self) -> Self:
        if self.imbalance == "class-weights" and isinstance(self.classifier, NearestNeighbours):
            raise ValueError(
                "imbalance: 'class-weights': neighbours have no weights; use smote, oversample, undersample"
            )
        return self

    @model_validator(mode="after")
    def _every_combination_is_possible(self) -> Self:
        if self.tuning:
            self.tuning.check(self.classifier)
        return self

    def with_parameters(self, parameters: dict[str, Any]) -> Self:
        """The same with other hyper-parameters of the classifier, and without tuning.

        Raises:
            ValidationError: a value is not allowed.
        """
        return self.model_copy(update={"classifier": altered(self.classifier, parameters), "tuning": None})

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another classifier."""
        return self.imbalance in ("smote", "oversample", "undersample") or draws(self.classifier)


def draws(estimator: Closed) -> bool:
    """Whether an estimator is another one with another seed."""
    if isinstance(estimator, XGBoost):
        return min(estimator.subsample, estimator.colsample_bytree) < 1
    return isinstance(estimator, Forest | AdaBoost | MultilayerPerceptron)
