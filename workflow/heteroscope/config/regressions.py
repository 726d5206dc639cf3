"""The schema of regressions: an attribute of the images that is a number, predicted from embeddings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from heteroscope.config.base import Closed, Positive
from heteroscope.config.branches import (
    AdaBoost,
    Forest,
    NearestNeighbours,
    NotNegative,
    PlainValue,
    Search,
    Share,
    SupportVectors,
    XGBoost,
    altered,
    draws,
)
from heteroscope.config.experiment import Reduction


class Ridge(Closed):
    """scikit-learn's Ridge: a linear head for numbers."""

    method: Literal["linear"] = Field(description="linear regression with an L2 penalty")
    alpha: NotNegative = Field(1.0, description="penalty; 0 is least squares")


class RegressionForest(Forest):
    """scikit-learn's RandomForestRegressor."""

    max_features: Literal["sqrt", "log2"] | Share | None = Field(
        None, description="how many features a division may choose among: a rule, a share, or null for all"
    )


class NeighboursAveraged(NearestNeighbours):
    """scikit-learn's KNeighborsRegressor."""

    n_neighbors: Positive = Field(5, description="neighbours that are averaged")


class SupportVectorRegression(SupportVectors):
    """scikit-learn's SVR."""

    epsilon: NotNegative = Field(0.1, description="error that costs nothing, in spreads of the training target")


Regressor = Annotated[
    Ridge | RegressionForest | AdaBoost | XGBoost | SupportVectorRegression | NeighboursAveraged,
    Field(discriminator="method"),
]


class RegressionTuning(Search[PlainValue]):
    """The search for a regressor's hyper-parameters."""

    metric: Literal["rmse", "mae"] = Field(
        "rmse", description="what is smallest, as a mean over folds; the first of equal ones"
    )


class Regression(Closed):
    """A number that is predicted from embeddings, such as an age."""

    target: str = Field(
        min_length=1, description="attribute of the images: a column of images.parquet without its `attr_`"
    )
    regressor: Regressor = Field(description="the regressor and its hyper-parameters")
    standardize: bool = Field(
        True, description="give every feature mean 0 and spread 1 over the training rows; trees do not need it"
    )
    reduce: Reduction = Field(Reduction(), description="principal components of the training rows, or none")
    tuning: RegressionTuning | None = Field(None, description="how hyper-parameters are chosen; null: as given")
    seeds: Positive = Field(5, description="trainings; errors are their means. One where nothing is random")

    @model_validator(mode="after")
    def _every_combination_is_possible(self) -> Self:
        if self.tuning:
            self.tuning.check(self.regressor)
        return self

    def with_parameters(self, parameters: dict[str, Any]) -> Self:
        """The same with other hyper-parameters of the regressor, and without tuning.

        Raises:
            ValidationError: a value is not allowed.
        """
        return self.model_copy(update={"regressor": altered(self.regressor, parameters), "tuning": None})

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another regressor."""
        return draws(self.regressor)
