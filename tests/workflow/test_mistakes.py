"""The mistakes of docs/errors.md, made again: each ends in the message that the page shows, without a traceback."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import yaml
from PIL import Image

from heteroscope import cli
from heteroscope.config import Backbone, dump, load
from heteroscope.data.listing import update_listing
from heteroscope.stages import command

PAGE = Path(__file__).parents[2] / "docs/errors.md"


def write_images(folder: str, names: range, *, end: str = ".png") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number in names:
        colour = (number, len(folder), 0)
        Image.new("RGB", (16, 16), colour).save(Path(folder, f"{number:03d}{end}"))


def heteroscope(*arguments: str) -> None:
    command.run(cli.main, arguments)


def begun(changes: Callable[[dict[str, Any]], Any] = lambda config: None, images: int = 12) -> dict[str, Any]:
    """A configuration that `init` has written for a folder of two classes, with a change of the user's."""
    for number, name in enumerate(("healthy", "ill")):
        write_images(f"my-images/{name}", range(100 * number, 100 * number + images))
    heteroscope("init", "my-images")
    config = yaml.safe_load(Path("mine.yaml").read_text(encoding="utf-8"))
    changes(config)
    Path("mine.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return config


def edited(old: str, new: str) -> None:
    """The same, with a change of the file's text, and checked."""
    begun()
    heteroscope("init", "my-images", "--force")
    text = Path("mine.yaml").read_text(encoding="utf-8")
    assert old in text
    Path("mine.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    heteroscope("check", "mine.yaml", "--no-plan")


def check(changes: Callable[[dict[str, Any]], Any]) -> None:
    begun(changes)
    heteroscope("check", "mine.yaml", "--no-plan")


def stage(name: str, **flags: str) -> None:
    """A job of the workflow, as its rule starts it."""
    main = importlib.import_module(f"heteroscope.stages.{name}").main
    command.run(main, [word for flag, value in flags.items() for word in (f"--{flag.replace('_', '-')}", value)])


def dataset(config: dict[str, Any], name: str = "my-images") -> None:
    spec: Any = load(config).datasets[name]
    update_listing(Path(spec.root), Path("listing.tsv"), spec.tables)
    outputs = {"images": "images.parquet", "rejected": "rejected.csv", "classes": "classes.csv"}
    stage("dataset", spec=dump(spec), root=spec.root, listing="listing.tsv", **outputs)


# ----------------------------------------------------------------------------------------- mistakes


def all_in_one_folder() -> None:
    write_images("my-images", range(4))
    heteroscope("init", "my-images")


def root_elsewhere() -> None:
    check(lambda config: config["datasets"]["my-images"].update(root="myimages"))


def truth_values() -> None:
    edited("{healthy: [healthy], ill: [ill]}", "{no: [healthy], yes: [ill]}")


def misspelt() -> None:
    def change(config: dict[str, Any]) -> None:
        config["heads"]["linear"]["epoch"] = config["heads"]["linear"].pop("epochs")
        config["studies"]["my-images"]["head"] = "liner"

    check(change)


def a_tab() -> None:
    edited("    adapter: folder", "\tadapter: folder")


def other_words() -> None:
    config = begun()
    config["datasets"]["my-images"]["classes"] = {"healthy": ["Healthy"], "ill": ["Ill"]}
    dataset(config)
    split(config)


def another_column() -> None:
    write_images("my-images", range(12))
    rows = [f"{n:03d}.png,{['healthy', 'ill'][n % 2]}" for n in range(12)]
    Path("my-images/labels.csv").write_text("\n".join(["file,finding", *rows]), encoding="utf-8")
    heteroscope("init", "my-images/labels.csv")
    config = yaml.safe_load(Path("mine.yaml").read_text(encoding="utf-8"))
    config["datasets"]["labels"]["label"] = "diagnosis"
    dataset(config, "labels")


def too_few() -> None:
    config = begun(images=2)
    dataset(config)
    split(config)


def split(config: dict[str, Any]) -> None:
    spec = load(config)
    classes = json.dumps(spec.datasets["my-images"].class_names)
    outputs = {"split": "split.parquet", "counts": "split.csv", "figure": "split.png"}
    stage("split", images="images.parquet", spec=dump(spec.splits["holdout"]), classes_order=classes, **outputs)


def no_network() -> None:
    spec = load(begun()).backbones["efficientnet-b0"]
    assert isinstance(spec, Backbone)
    stage("weights", backbone_id="efficientnet-b0", spec=dump(spec), output="results/weights/efficientnet-b0.pt")


def not_run() -> None:
    heteroscope("show", "my-images")


MISTAKES: dict[str, Callable[[], None]] = {
    "All images lie in one folder": all_in_one_folder,
    "The images are not where the file says": root_elsewhere,
    "Classes are called yes and no": truth_values,
    "A word is misspelt": misspelt,
    "A tab stands in the file": a_tab,
    "The words of a class are not those of the folders": other_words,
    "A column has another name": another_column,
    "There are too few images": too_few,
    "Published weights cannot be downloaded": no_network,
    "The answer is asked for before the run": not_run,
}


def shown() -> dict[str, str]:
    """Mistake → its message, as the page shows them."""
    parts = re.split(r"^## \d+\. ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    return {part.split("\n")[0]: part.split("```text\n")[1].split("\n```")[0] for part in parts}


def made(mistake: str, capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        MISTAKES[mistake]()
    assert end.value.code == 1
    output = capfd.readouterr()
    text = output.err if "error:" in output.err else output.out
    assert "Traceback" not in text
    return text[text.index("error:") :].strip() if "error:" in text else text.strip().splitlines()[-3]


def test_the_page_lists_ten_mistakes_and_no_other() -> None:
    assert list(shown()) == list(MISTAKES)
    assert len(MISTAKES) == 10


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_the_message_of_the_page(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    assert made(mistake, capfd) == shown()[mistake]


def unreachable(*args: object, **options: object) -> None:
    raise URLError("Temporary failure in name resolution")
