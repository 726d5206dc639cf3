"""The one schema of the configuration.

Every object is closed: an unknown key is an error. `load` turns the raw mapping that Snakemake
read into a `Config`, or raises `ConfigError` with one line a problem, each naming the key's path,
the value and what is allowed. A stage receives one entry as JSON and parses it with the same model.
"""

from heteroscope.config.base import FUSION as FUSION
from heteroscope.config.base import NO_AUGMENTATION as NO_AUGMENTATION
from heteroscope.config.base import Closed as Closed
from heteroscope.config.base import Condition as Condition
from heteroscope.config.base import Range as Range
from heteroscope.config.base import Where as Where
from heteroscope.config.branches import AdaBoost as AdaBoost
from heteroscope.config.branches import Handcrafted as Handcrafted
from heteroscope.config.branches import Hybrid as Hybrid
from heteroscope.config.branches import Logistic as Logistic
from heteroscope.config.branches import NearestNeighbours as NearestNeighbours
from heteroscope.config.branches import RandomForest as RandomForest
from heteroscope.config.branches import SupportVectors as SupportVectors
from heteroscope.config.branches import Tuning as Tuning
from heteroscope.config.branches import XGBoost as XGBoost
from heteroscope.config.data import Augmentation as Augmentation
from heteroscope.config.data import Pixels as Pixels
from heteroscope.config.data import Shuffle as Shuffle
from heteroscope.config.data import Split as Split
from heteroscope.config.data import TestPerClass as TestPerClass
from heteroscope.config.data import TestWhere as TestWhere
from heteroscope.config.datasets import BREAKHIS_TUMOURS as BREAKHIS_TUMOURS
from heteroscope.config.datasets import Balance as Balance
from heteroscope.config.datasets import BreakHisDataset as BreakHisDataset
from heteroscope.config.datasets import CbisDdsmDataset as CbisDdsmDataset
from heteroscope.config.datasets import Dataset as Dataset
from heteroscope.config.datasets import DatasetBase as DatasetBase
from heteroscope.config.datasets import FolderDataset as FolderDataset
from heteroscope.config.datasets import InBreastDataset as InBreastDataset
from heteroscope.config.datasets import LesionColumns as LesionColumns
from heteroscope.config.datasets import MammogramMassesDataset as MammogramMassesDataset
from heteroscope.config.datasets import MiasDataset as MiasDataset
from heteroscope.config.datasets import NihChestDataset as NihChestDataset
from heteroscope.config.datasets import OdirDataset as OdirDataset
from heteroscope.config.datasets import PhantomDataset as PhantomDataset
from heteroscope.config.datasets import TableDataset as TableDataset
from heteroscope.config.datasets import UnionDataset as UnionDataset
from heteroscope.config.experiment import Clustering as Clustering
from heteroscope.config.experiment import Controls as Controls
from heteroscope.config.experiment import Head as Head
from heteroscope.config.experiment import Metric as Metric
from heteroscope.config.experiment import Primary as Primary
from heteroscope.config.experiment import Reduction as Reduction
from heteroscope.config.experiment import Study as Study
from heteroscope.config.experiment import StudyContext as StudyContext
from heteroscope.config.explanations import Explanation as Explanation
from heteroscope.config.features import Features as Features
from heteroscope.config.features import Retrieval as Retrieval
from heteroscope.config.networks import Backbone as Backbone
from heteroscope.config.networks import Cyclical as Cyclical
from heteroscope.config.networks import Finetune as Finetune
from heteroscope.config.networks import Plateau as Plateau
from heteroscope.config.parsing import dump as dump
from heteroscope.config.parsing import load as load
from heteroscope.config.parsing import parse as parse
from heteroscope.config.whole import Config as Config
from heteroscope.config.whole import dataset_root as dataset_root
