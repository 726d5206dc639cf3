"""The fixed sentences of the report."""

from __future__ import annotations

from heteroscope.metric_names import METRIC_NAMES

QUESTION = "Does hidden heterogeneity in these images change what a network learns from them?"

ANSWERS = {
    "different": "Yes: heads of the clusters' own do better, beside the pooled head, than one shared rule lets them",
    "equivalent": "Not so that it matters here: heads of the clusters' own are neither better nor worse by the margin",
    "nonlinear rule": "The clusters' heads differ, but one curved rule for all images would look the same",
    "undecided": "Undecided: nothing was shown, and a gain as large as the margin is not ruled out",
    "not assessable": "This study cannot tell",
}

FIGURES_OF_STUDY = {
    "gain": (
        "The test behind the verdict",
        "How much lower the log loss becomes when every cluster has a head of its own: the solid line is what was"
        " observed, the bars what comes out when all labels are drawn again from one linear rule that holds everywhere,"
        " the outline the same of one curved rule, drawn where that predicts better. A solid line beyond every dashed"
        " one is a difference that one shared rule does not explain.",
    ),
    "power": (
        "What this study could find",
        "Labels were drawn from rules that differ between the clusters by a known angle, on these very images. The dots"
        " say how often the verdict finds them, over the points of accuracy that the clusters' own rules are worth. A"
        " difference left of the vertical line would often be missed, or is smaller than any that was tried. Without"
        " that line, every difference would often be missed.",
    ),
    "retraining": (
        "The published comparison",
        "The diamond is the model trained on a cluster alone, the points are models trained on random sets of the same"
        " size or the same class counts, all tested on the whole test set. This describes, it does not decide:"
        " compact clusters may differ from random sets in any collection.",
    ),
    "curve": (
        "Too few images, or different ones?",
        "How well a head does with ever more training images, drawn at random by whole patients. Each circle is a"
        " cluster's own model at its number of images: a circle on the band says “too few images”, one away from it"
        " “different images” than a random set of that size, or other shares of the classes. This describes, it does"
        " not decide: compact clusters may differ from random sets in any collection.",
    ),
    "baseline": (
        "The pooled head, cluster by cluster",
        "A cluster far below the line is hard for the head that was trained on everything, or it holds few test"
        " images: compare n, and the intervals over patients, before believing a gap.",
    ),
    "attribute-scores": (
        "The pooled head, attribute by attribute",
        "How well the head does on the test images of each level of what is known of them, and how many of each class"
        " it finds; the dashed lines are the whole test set. This is no test: of many levels some lie far off by"
        " chance, and levels differ in more than their name. A level that lies far off is a reason to look.",
    ),
    "confusion": (
        "What is taken for what",
        "The test images of each class (rows) and what the pooled head calls them (columns). A dark cell off the"
        " diagonal names two classes that it does not tell apart.",
    ),
    "transfer": (
        "From cluster to cluster",
        "A model that does well on its own cluster (the diagonal) and badly on another has learnt something that does"
        " not carry over. Hatched cells hold too few images to say anything.",
    ),
    "sensitivity": (
        "How the verdict depends on k and on the backbone",
        "A row for each clustering and backbone: the points of accuracy that the clusters' own heads gain, and p from"
        " redrawn labels, left of the dashed line where it is at most the level. The verdict rests on the diamond"
        " alone, which was chosen beforehand; the others show how much hangs on that choice.",
    ),
}

FIGURES_OF_CLUSTERING = {
    "centroid-distances": (
        "Distances of the centroids",
        "Off the diagonal how far clusters lie apart, on it (framed) how wide each is. Clusters no further apart than"
        " they are wide are slices of one cloud, not groups.",
    ),
    "pca": (
        "Principal components",
        "The same points coloured by cluster, by label and by what else is known. An attribute that paints the same"
        " pattern as the clusters is what the clustering has found.",
    ),
    "umap": (
        "UMAP",
        "Which images are neighbours. Distances between far groups and the areas of groups mean nothing here.",
    ),
    "dendrogram": (
        "Dendrogram",
        "How the training rows merge into groups, and which clusters and labels each branch holds. Long branches near"
        " the top speak for groups that are really apart.",
    ),
    "exemplars": (
        "Typical images",
        "The training images nearest to each centroid. What the images of a row share, and those of other rows lack,"
        " is what the cluster is about.",
    ),
}

ARMS = (
    (
        "cluster",
        "the images of one cluster",
        "Nothing: it is the observation that the others are held against.",
    ),
    (
        "size",
        "random training images, as many as the cluster has",
        "Could any set of this size do as the cluster does? Compact clusters never look like random sets, so a"
        " difference says nothing about hidden groups. It is the published control, shown for comparison.",
    ),
    (
        "balanced",
        "random training images with the cluster's counts in every class",
        "Is the gap more than the cluster's class counts? A difference still says nothing about hidden groups; none"
        " says that the counts alone explain the gap.",
    ),
    (
        "labels",
        "the clusters as they are, with all labels drawn again from one shared rule",
        "Could one rule for all images, with a prevalence of its own in each cluster, have produced these labels? The"
        " verdict rests on this one.",
    ),
    (
        "gaussian",
        "whole data sets whose images are drawn from one Gaussian cloud a class, clustered again",
        "Could each class be one Gaussian cloud? Hardly any collection is that, so a difference does not say that the"
        " clusters need rules of their own. It describes.",
    ),
)

REJECTIONS = {
    "missing": "the table names a file that is not there",
    "unreadable": "the file is no image",
    "truncated": "the image ends too early",
    "unsupported": "an image format or mode that is not read",
    "duplicate": "the same bytes as an image that was kept",
    "conflicting-label": "the same bytes under two classes; all copies are dropped",
    "unlabelled": "the label is none of the study's classes",
    "filtered": "the study's filter leaves it out",
    "balanced": "cut away so that the classes are of equal size",
}

AVERAGES = {
    "macro": "mean over classes (macro)",
    "weighted": "the same, by their shares (weighted)",
    "micro": "all decisions together (micro)",
}

MACRO = (
    "With more than two classes, every metric but accuracy and those of patients is the mean over the classes (macro),"
    " each against the rest."
)

INTERVAL = (
    "95 % interval (bootstrap of patients, conditional on the trained heads; without width where all resamples agree,"
    " left out where a class has too few patients)"
)

COLUMNS = METRIC_NAMES | {
    "patient_accuracy": "patient accuracy",
    "recognition_rate": "patient recognition rate",
    "within_distance": "distance within",
    "test_size": "test images",
    "gain_p": "p",
    "gain_p_holm": "p (Holm)",
    "gained": "accuracy gain (90 %)",
    "endless": "p of endless draws (95 %)",
    "p_holm": "p (Holm)",
    "p_nonlinear": "p (curved rule)",
    "jaccard": "comes back",
    "ari_bootstraps": "ARI, bootstraps",
    "ari_seeds": "ARI, seeds",
    "ari_backbones": "ARI, other backbones",
    "ari_with_primary": "ARI, primary analysis",
    "accuracy_gain_low": "90 % from",
    "accuracy_gain_high": "to",
}


def badge(verdict: str) -> str:
    """The name of a verdict's style."""
    return verdict.replace(" ", "-")


def warning(text: str) -> dict[str, str]:
    """A warning's `name` and `detail`."""
    name, _, detail = text.partition(": ")
    return {"name": name, "detail": detail}
