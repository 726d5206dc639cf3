"""Mammograms: small trees with the real names, tables and formats of four collections."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from heteroscope.config import CbisDdsmDataset, InBreastDataset, MammogramMassesDataset, MiasDataset, UnionDataset
from heteroscope.data.listing import ListedFile, read_listing, update_listing
from heteroscope.data.quality import curate
from heteroscope.data.sources import read_source, read_union
from heteroscope.errors import DataError
from heteroscope.store import read_table, write_table
from tests.unit.data.dicoms import save
from tests.unit.data.test_data_outlines import osirix, round_outline

TWO = {"benign": ["benign"], "malignant": ["malignant"]}


def listed(*paths: str) -> list[ListedFile]:
    return [ListedFile(path, 1, path) for path in paths]


def pgm(path: Path, seed: int, *, size: tuple[int, int] = (1024, 1024), bits: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 2**bits, size=size)
    Image.fromarray(values.astype(np.uint8 if bits == 8 else np.uint16)).save(path)


def curated(root: Path, spec: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    listing = root.parent / "listing.tsv"
    update_listing(root, listing, spec.tables)
    files = read_listing(listing)
    return curate(read_source(spec, root, files), spec, root=root, listing=files)


# --------------------------------------------------------------------------------------- Mendeley


def masses(**options: Any) -> MammogramMassesDataset:
    classes = {"benign": ["Benign Masses"], "malignant": ["Malignant Masses"]}
    return MammogramMassesDataset(adapter="mammogram-masses", root="x", classes=classes, **options)


def test_masses_tell_their_class_by_folder_and_their_source_by_name() -> None:
    folder = "INbreast+MIAS+DDSM Dataset"
    files = {
        f"{folder}/Benign Masses/20586908 (1).png": ("INbreast", "20586908"),
        f"{folder}/Benign Masses/20586908 (72).png": ("INbreast", "20586908"),
        f"{folder}/Malignant Masses/mdb028 (3).png": ("MIAS", "mdb027-028"),
        f"{folder}/Malignant Masses/mdb027.png": ("MIAS", "mdb027-028"),
        f"{folder}/Malignant Masses/D1_A_1003_1.RIGHT_CC (2).png": ("DDSM", "D1_A_1003_1"),
        f"{folder}/Malignant Masses/A_1003_1.LEFT_MLO.png": ("DDSM", "A_1003_1"),
        f"{folder}/Benign Masses/lump 7 (2).png": (None, "lump 7"),
        "DDSM Dataset/Benign Masses/17 (4).png": ("DDSM", "17"),
        "elsewhere/20586908 (1).png": ("INbreast", "20586908"),
    }
    rows = read_source(masses(), Path("x"), listed(*files)).set_index("path")
    assert rows["label"].tolist()[:3] == ["Benign Masses", "Benign Masses", "Malignant Masses"]
    assert rows.loc["elsewhere/20586908 (1).png", "label"] == ""
    found = [(None if pd.isna(source) else source) for source in rows["attr_source"]]
    assert list(zip(found, rows["group"], strict=True)) == list(files.values())


def test_masses_without_their_folders_are_an_error() -> None:
    with pytest.raises(DataError, match="no image stands in a folder 'Benign Masses' or 'Malignant Masses'; set"):
        read_source(masses(), Path("x"), listed("benign/a.png"))


# --------------------------------------------------------------------------------------- INbreast

INBREAST_TABLE = """\
Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads;Mass ;Micros;Findings Notes
removed;removed;R;CC;201001;22678622;4;1;;;normal
removed;removed;L;CC;201001;22678646.0;4.0;4a;X;X;
p7;removed;L;MLO;201001;22678670;     ;5;X;;
removed;removed;R;MLO;201001;99999999;2;6;;;
"""


def inbreast(**options: Any) -> InBreastDataset:
    classes = {"benign": ["1", "2", "3"], "malignant": ["4a", "4b", "4c", "5", "6"]}
    return InBreastDataset(adapter="inbreast", root="x", classes=classes, **options)


def test_inbreast_joins_its_table_with_files_by_number(tmp_path: Path) -> None:
    (tmp_path / "INbreast.csv").write_text(INBREAST_TABLE)
    folder = "AllDICOMs"
    files = [
        f"{folder}/22678622_61b13c59bcba149e_MG_R_CC_ANON.dcm",
        f"{folder}/22678646_61b13c59bcba149e_MG_L_CC_ANON.dcm",
        f"{folder}/22678670_ffffffffffffffff_MG_L_ML_ANON.dcm",
    ]
    rows = read_source(inbreast(), tmp_path, listed(*files))
    assert rows["path"].tolist() == [*files, "99999999"]
    assert rows["label"].tolist() == ["1", "4a", "5", "6"]
    assert rows["group"].tolist() == ["61b13c59bcba149e", "61b13c59bcba149e", "p7", ""]
    assert rows["attr_density"].fillna(0).tolist() == [4, 4, 0, 2]
    assert rows["attr_laterality"].tolist() == ["R", "L", "L", "R"]
    assert rows["attr_view"].tolist() == ["CC", "CC", "MLO", "MLO"]
    assert rows["attr_mass"].tolist() == ["no", "yes", "yes", "no"]
    assert rows["attr_micros"].tolist() == ["no", "yes", "no", "no"]
    assert "attr_asymmetry" not in rows
    (tmp_path / "INbreast.csv").write_text(INBREAST_TABLE.replace("Bi-Rads", "BiRads"))
    with pytest.raises(DataError, match=r"INbreast\.csv: no column 'Bi-Rads'; the columns there: Patient ID, Patient"):
        read_source(inbreast(), tmp_path, listed(*files))


def test_inbreast_outlines_become_lesions_and_are_watched(tmp_path: Path) -> None:
    root = tmp_path / "INbreast"
    (root / "AllXML").mkdir(parents=True)
    (root / "INbreast.csv").write_text(INBREAST_TABLE)
    for seed, number in enumerate(("22678622", "22678646", "22678670")):
        pixels = np.random.default_rng(seed).integers(0, 4096, (60, 50)).astype(np.uint16)
        save(root / f"AllDICOMs/{number}_ffffffffffffffff_MG_L_CC_ANON.dcm", pixels)
    outlines = [
        ("Mass", round_outline(20, 30, 8)),
        ("Calcification", round_outline(9, 9, 1)),
        ("Mass", round_outline(40, 12, 5)),
    ]
    xml = osirix(root / "AllXML/22678646.xml", outlines)
    osirix(root / "AllXML/22678622.xml", outlines[1:2])
    images, _ = curated(root, inbreast(outlines=["Mass"]))
    assert images["attr_lesions"].tolist() == [0, 2, 0]
    for name, expected in (("lesion_x", [20, 40]), ("lesion_y", [30, 12]), ("lesion_radius", [8, 5])):
        assert images[name].tolist()[::2] == [[], []]
        assert images[name][1] == pytest.approx(expected, rel=1e-3)
    assert "lesion_x" not in curated(root, inbreast())[0]
    # the DAG watches the listing, which holds the XML files where they are read
    listing, tables = tmp_path / "listing.tsv", inbreast(outlines=["Mass"]).tables
    assert update_listing(root, listing, tables)
    assert [Path(file.path).suffix for file in read_listing(listing)].count(".xml") == 2
    assert not update_listing(root, listing, tables)
    osirix(xml, outlines[:1])
    assert update_listing(root, listing, tables)
    xml.write_text("no plist")
    with pytest.raises(DataError, match=r"22678646\.xml: cannot be read as outlines"):
        curated(root, inbreast(outlines=["Mass"]))


def outlined_inbreast(root: Path, name: str) -> Path:
    """A mammogram with a mass, outlined in a file of this name."""
    (root / "AllXML").mkdir(parents=True)
    (root / "INbreast.csv").write_text("\n".join(INBREAST_TABLE.splitlines()[:2]))
    save(root / "AllDICOMs/22678622_ffff_MG_R_CC_ANON.dcm", np.full((60, 50), 7, dtype=np.uint16))
    return osirix(root / "AllXML" / name, [("Mass", round_outline(20, 30, 8)), ("Spiculated", round_outline(9, 9, 1))])


def outlined_rows(folder: Path, *names: str) -> pd.DataFrame:
    """What is read of `outlined_inbreast` below a folder."""
    spec, root = inbreast(outlines=list(names)), folder / "INbreast"
    update_listing(root, folder / "listing.tsv", spec.tables)
    return read_source(spec, root, read_listing(folder / "listing.tsv"))


def test_inbreast_outlines_are_found_whatever_the_case_of_their_files_ending(tmp_path: Path) -> None:
    outlined_inbreast(tmp_path / "INbreast", "22678622.XML")
    assert [len(places) for places in outlined_rows(tmp_path, "Mass")["lesion_x"]] == [1]


def test_names_of_outlines_that_no_file_has_are_refused_with_those_there(tmp_path: Path) -> None:
    xml = outlined_inbreast(tmp_path / "INbreast", "22678622.xml")
    assert [len(places) for places in outlined_rows(tmp_path, "mass", "SPICULATED")["lesion_x"]] == [2]
    with pytest.raises(DataError, match=r"no XML file .* named 'Mas'; names there: Mass, Spiculated; .*`outlines`"):
        outlined_rows(tmp_path, "Mass", "Mas")
    xml.unlink()
    with pytest.raises(DataError, match=r"named 'Mass'; names there: none"):
        outlined_rows(tmp_path, "Mass")


# ------------------------------------------------------------------------------------------- MIAS

MIAS_LIST = """\
The list of abnormalities: mdb numbers, then the tissue.
REFNUM BG CLASS SEVERITY X Y RADIUS
mdb001 G CIRC B 535 425 197
mdb002 G CIRC B 522 280 69
mdb003 D NORM
mdb005 F CIRC B 477 133 30
mdb005 F CALC B 500 168 26
mdb028 F CIRC M 338 314 56
mdb058 D MISC M 318 359 27
mdb059 F CIRC B
mdb216 D CALC M *NOTE 3*
mdb400 D CALC M 10 20 3
mdb401 D CALC M 10 20 3
mdb401 D CIRC B 30 40 5
"""


def mias(**options: Any) -> MiasDataset:
    return MiasDataset(**({"adapter": "mias", "root": "x", "classes": TWO} | options))


@pytest.fixture
def mias_root(tmp_path: Path) -> Path:
    root = tmp_path / "mias"
    for number in (1, 2, 3, 5, 58, 59, 216, 401):
        pgm(root / f"all/mdb{number:03d}.pgm", number, size=(40, 50))
    pgm(root / "all/mdb028.pgm", 28)
    (root / "Info.txt").write_text(MIAS_LIST)
    return root


def test_mias_has_a_row_an_image_with_its_lesions_from_the_upper_edge(mias_root: Path) -> None:
    images, rejected = curated(mias_root, mias())
    rows = images.set_index(images["path"].map(lambda path: Path(path).stem))
    assert rows.index.tolist() == ["mdb001", "mdb002", "mdb005", "mdb028", "mdb058", "mdb059", "mdb216"]
    assert rows["label"].tolist() == ["benign"] * 3 + ["malignant", "malignant", "benign", "malignant"]
    assert rows["group"].tolist()[:3] == ["mdb001-002", "mdb001-002", "mdb005-006"]
    assert rows["attr_density"].tolist() == ["glandular"] * 2 + ["fatty", "fatty", "dense", "fatty", "dense"]
    assert rows["attr_laterality"].tolist() == ["right", "left", "right", "left", "left", "right", "left"]
    assert rows.loc["mdb005", "attr_abnormality"] == "CALC|CIRC"
    assert rows["attr_lesions"].tolist() == [1, 1, 2, 1, 1, 0, 0]
    place = ["lesion_x", "lesion_y", "lesion_radius"]
    assert rows.loc["mdb028", place].tolist() == [[338], [1024 - 314], [56]]
    assert rows.loc["mdb005", place].tolist() == [[477, 500], [40 - 133, 40 - 168], [30, 26]]
    assert rows.loc["mdb216", place].tolist() == [[], [], []]
    reasons = dict(zip(rejected["path"], rejected["reason"], strict=True))
    assert reasons == {"all/mdb003.pgm": "unlabelled", "mdb400": "missing", "all/mdb401.pgm": "unlabelled"}
    assert set(rejected.loc[rejected["reason"] == "unlabelled", "label"]) == {"normal", "benign|malignant"}


def test_a_breast_with_both_kinds_conflicts_where_any_word_counts(mias_root: Path) -> None:
    _, rejected = curated(mias_root, mias(match="any"))
    assert dict(zip(rejected["path"], rejected["reason"], strict=True))["all/mdb401.pgm"] == "conflicting-label"


def test_lesions_survive_the_table_and_a_union_with_images_without(mias_root: Path, tmp_path: Path) -> None:
    images, _ = curated(mias_root, mias())
    write_table(images, tmp_path / "images.parquet")
    back = read_table(tmp_path / "images.parquet")
    assert back.columns.tolist()[-3:] == ["lesion_x", "lesion_y", "lesion_radius"]
    plain = back.drop(columns=["lesion_x", "lesion_y", "lesion_radius"]).head(2)
    union = UnionDataset(adapter="union", datasets=["a", "b"], classes=TWO)
    rows = read_union(union, {"a": back, "b": plain})
    assert [list(values) for values in rows["lesion_radius"]] == [[197], [69], [30, 26], [56], [27], [], [], [], []]


@pytest.mark.parametrize("line", ["mdb007 G CIRC B 535", "mdb007 Q NORM", "mdb007 G CIRC", "mdb007 G NORM B 1 2 3"])
def test_a_line_of_mias_that_cannot_be_read_is_named(mias_root: Path, line: str) -> None:
    (mias_root / "Info.txt").write_text(f"{MIAS_LIST}{line}\n")
    number = len(MIAS_LIST.splitlines()) + 1
    with pytest.raises(DataError, match=rf"Info\.txt: line {number} cannot be read: '{line}'; expected image, tissue"):
        curated(mias_root, mias())


def test_a_list_of_no_images_and_a_missing_one(mias_root: Path) -> None:
    (mias_root / "Info.txt").write_text("nothing\n")
    with pytest.raises(DataError, match=r"Info\.txt: no line begins with an image of MIAS"):
        curated(mias_root, mias())
    with pytest.raises(DataError, match=r"other\.txt: cannot be read .*name another one in the dataset's `table`"):
        read_source(mias(table="other.txt"), mias_root, listed("all/mdb001.pgm"))


# -------------------------------------------------------------------------------------- CBIS-DDSM

CBIS_HEADER = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,mass margins,"
    "assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)


def case(patient: str, number: int, pathology: str, *, part: str = "Training", view: str = "LEFT_CC") -> str:
    """A line as the published tables have it, line breaks within a cell and all."""
    image = f"Mass-{part}_{patient}_{view}"
    uid = "1.3.6.1.4.1.9590.100.1.2.1234"
    paths = (
        f'{image}/{uid}/{uid}/000000.dcm,"{image}_{number}/{uid}/{uid}/000001.dcm\n","{image}_{number}/{uid}/0.dcm\n"'
    )
    side, direction = view.split("_")
    return f"{patient},3,{side},{direction},{number},mass,OVAL,ILL_DEFINED,4,{pathology},4,{paths}"


def cbis(**options: Any) -> CbisDdsmDataset:
    classes = {"benign": ["BENIGN", "BENIGN_WITHOUT_CALLBACK"], "malignant": ["MALIGNANT"]}
    return CbisDdsmDataset(adapter="cbis-ddsm", root="x", classes=classes, **options)


@pytest.fixture
def cbis_root(tmp_path: Path) -> tuple[Path, list[ListedFile]]:
    train = [
        case("P_00001", 1, "MALIGNANT"),
        case("P_00001", 2, "BENIGN"),
        case("P_00004", 1, "BENIGN_WITHOUT_CALLBACK", view="RIGHT_MLO"),
        case("P_00009", 1, "BENIGN"),
    ]
    (tmp_path / "mass_case_description_train_set.csv").write_text("\n".join([CBIS_HEADER, *train]) + "\n")
    header = CBIS_HEADER.replace("breast_density", "breast density")
    test = "\n".join([header, case("P_00016", 1, "MALIGNANT", part="Test")])
    (tmp_path / "mass_case_description_test_set.csv").write_text(test + "\n")
    folder, series = "CBIS-DDSM", "07-20-2016-DDSM-NA-30288/1.000000-full mammogram images-24515"
    cuts = "07-20-2016-DDSM-NA-94942/1.000000-ROI mask images-18515"
    sizes = {
        f"{folder}/Mass-Training_P_00001_LEFT_CC/{series}/1-1.dcm": 900,
        f"{folder}/Mass-Training_P_00001_LEFT_CC_1/{cuts}/1-1.dcm": 450,
        f"{folder}/Mass-Training_P_00001_LEFT_CC_1/{cuts}/1-2.dcm": 20,
        f"{folder}/Mass-Training_P_00001_LEFT_CC_2/{cuts}/1-1.dcm": 30,
        f"{folder}/Mass-Training_P_00001_LEFT_CC_2/{cuts}/1-2.dcm": 450,
        f"{folder}/Mass-Training_P_00004_RIGHT_MLO/{series}/1-1.dcm": 900,
        f"{folder}/Mass-Test_P_00016_LEFT_CC/{series}/1-1.dcm": 900,
    }
    return tmp_path, [ListedFile(path, size, path) for path, size in sizes.items()]


def test_cbis_ddsm_has_a_row_a_mammogram(cbis_root: tuple[Path, list[ListedFile]]) -> None:
    rows = read_source(cbis(), *cbis_root)
    first = [path.split("/")[1] if path.startswith("CBIS") else path.split("/")[0] for path in rows["path"]]
    assert first == [
        "Mass-Training_P_00001_LEFT_CC",
        "Mass-Training_P_00004_RIGHT_MLO",
        "Mass-Training_P_00009_LEFT_CC",
        "Mass-Test_P_00016_LEFT_CC",
    ]
    assert rows["path"].tolist()[2].endswith("000000.dcm")  # no such file: it will be rejected as missing
    assert rows["label"].tolist() == ["BENIGN|MALIGNANT", "BENIGN_WITHOUT_CALLBACK", "BENIGN", "MALIGNANT"]
    assert rows["labels"].tolist()[0] == ["BENIGN", "MALIGNANT"]
    assert rows["group"].tolist() == ["P_00001", "P_00004", "P_00009", "P_00016"]
    assert rows["part"].tolist() == ["train", "train", "train", "test"]
    assert rows["attr_density"].tolist() == [3, 3, 3, 3]
    assert rows["attr_laterality"].tolist() == ["LEFT", "RIGHT", "LEFT", "LEFT"]
    assert rows["attr_view"].tolist() == ["CC", "MLO", "CC", "CC"]
    assert set(rows["attr_abnormality"]) == {"mass"}


def test_cbis_ddsm_may_be_cropped_abnormalities_and_never_their_masks(cbis_root: tuple[Path, list[ListedFile]]) -> None:
    rows = read_source(cbis(images="cropped"), *cbis_root)
    assert rows["label"].tolist()[:2] == ["MALIGNANT", "BENIGN"]
    sizes = {file.path: file.size for file in cbis_root[1]}
    assert [sizes.get(path) for path in rows["path"]] == [20, 30, None, None, None]
    only = read_source(cbis(table=["mass_case_description_test_set.csv"]), *cbis_root)
    assert only["group"].tolist() == ["P_00016"]


def test_cbis_ddsm_masks_tell_where_lesions_are(tmp_path: Path) -> None:
    """A mask is as large as its mammogram and the larger file of its folder; one of another size tells nothing."""
    root = tmp_path / "cbis"
    lines = [case("P_00001", 1, "MALIGNANT"), case("P_00001", 2, "MALIGNANT"), case("P_00001", 3, "MALIGNANT")]
    lines += [case("P_00004", 1, "BENIGN")]
    y, x = np.mgrid[:120, :90] + 0.5
    generator = np.random.default_rng(0)
    for patient in ("P_00001", "P_00004"):
        save(
            root / f"Mass-Training_{patient}_LEFT_CC/a/1-1.dcm",
            generator.integers(0, 4096, (120, 90)).astype(np.uint16),
        )
    for number, (height, width) in {1: (120, 90), 2: (120, 90), 3: (60, 45)}.items():
        lesion = np.hypot(x - 20 * number, y - 30 * number) < 10
        folder = root / f"Mass-Training_P_00001_LEFT_CC_{number}/b"
        save(folder / "1-1.dcm", np.where(lesion, 255, 0).astype(np.uint8)[:height, :width], bits=8)
        save(folder / "1-2.dcm", np.full((20, 20), 9, dtype=np.uint8), bits=8)
    (root / "cases.csv").write_text("\n".join([CBIS_HEADER, *lines]) + "\n")
    images, _ = curated(root, cbis(table=["cases.csv"], places=True))
    assert images["attr_lesions"].tolist() == [2, 0]
    found = np.array([images[name][0] for name in ("lesion_x", "lesion_y", "lesion_radius")]).T
    assert found == pytest.approx(np.array([[20, 30, 10], [40, 60, 10]]), abs=0.6)
    assert "lesion_x" not in curated(root, cbis(table=["cases.csv"]))[0]
    with pytest.raises(ValidationError, match="places: they are those of whole mammograms; set `images: full`"):
        cbis(images="cropped", places=True)
