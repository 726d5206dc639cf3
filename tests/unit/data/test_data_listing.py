import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heteroscope.data import listing as module
from heteroscope.data.listing import read_listing, remove_broken_listing, update_listing
from heteroscope.errors import DataError

HARD_NAMES = [
    "a b.png",
    'q"uo"te.png',
    "new\nline.png",
    "carriage\rreturn.png",
    "tab\there.png",
    "ünï.png",
    "-dash.png",
    " space.png",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "two.JPG").write_bytes(b"two")
    (folder / "one.png").write_bytes(b"one")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"hidden")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.png").write_bytes(b"hidden")
    return folder


def paths(listing: Path) -> list[str]:
    return [file.path for file in read_listing(listing)]


def test_lists_visible_images_and_named_tables_with_size_and_hash(root: Path, tmp_path: Path) -> None:
    (root / "table.csv").write_text("path,label\n")
    listing = tmp_path / "out" / "listing.tsv"
    assert update_listing(root, listing, ["table.csv"])
    files = read_listing(listing)
    assert [file.path for file in files] == ["b/two.JPG", "one.png", "table.csv"]
    assert files[1].size == 3
    assert files[1].sha256 == hashlib.sha256(b"one").hexdigest()


@pytest.mark.parametrize("damage", ["gone", "cut", "none"])
def test_a_listing_of_files_that_are_gone_or_cut_is_removed(root: Path, tmp_path: Path, damage: str) -> None:
    listing = tmp_path / "listing.tsv"
    remove_broken_listing(root, listing)  # none yet
    update_listing(root, listing)
    if damage == "gone":
        (root / "b" / "two.JPG").unlink()
    elif damage == "cut":
        (root / "one.png").write_bytes(b"on")
    remove_broken_listing(root, listing)
    assert listing.is_file() == (damage == "none")


def test_is_rewritten_only_where_its_content_differs(root: Path, tmp_path: Path) -> None:
    listing = tmp_path / "listing.tsv"
    update_listing(root, listing)
    before = listing.stat()
    os.utime(root / "one.png", (1, 1))  # touched, not changed
    assert not update_listing(root, listing)
    assert listing.stat().st_mtime_ns == before.st_mtime_ns
    assert listing.stat().st_ino == before.st_ino
    (root / "b" / "two.JPG").write_bytes(b"TWO")  # same size, other bytes
    assert update_listing(root, listing)
    assert {file.path: file.sha256 for file in read_listing(listing)}["b/two.JPG"] == hashlib.sha256(b"TWO").hexdigest()
    (root / "one.png").unlink()
    assert update_listing(root, listing)
    assert paths(listing) == ["b/two.JPG"]


def test_hashes_only_changed_files(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = tmp_path / "listing.tsv"
    update_listing(root, listing)
    hashed: list[str] = []
    real = module.file_sha256
    monkeypatch.setattr(module, "file_sha256", lambda path: hashed.append(path.name) or real(path))
    (root / "new.png").write_bytes(b"new")
    update_listing(root, listing)
    assert hashed == ["new.png"]
    listing.unlink()  # the cache alone is enough to write it again
    assert update_listing(root, listing)
    assert hashed == ["new.png"]
    (tmp_path / module.CACHE_NAME).write_text("damaged\tcache\n")
    update_listing(root, listing)
    assert len(hashed) == 4


def test_names_that_are_hard_to_store_survive(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    for name in HARD_NAMES:
        (root / name).write_bytes(name.encode())
    listing = tmp_path / "listing.tsv"
    update_listing(root, listing)
    assert paths(listing) == sorted(HARD_NAMES)
    assert not update_listing(root, listing)


def test_links_are_followed_and_loops_survived(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.png").write_bytes(b"far")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b" / "loop").symlink_to(root)
    (root / "broken.png").symlink_to(root / "nowhere.png")
    listing = tmp_path / "listing.tsv"
    update_listing(root, listing)
    assert paths(listing) == ["b/two.JPG", "linked/far.png", "one.png"]


def test_missing_root_and_empty_folder_name_the_root_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent: no such folder; set the dataset's `root`"):
        update_listing(tmp_path / "absent", tmp_path / "listing.tsv")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"empty: no image below it .*\.png.*; set the dataset's `root`"):
        update_listing(tmp_path / "empty", tmp_path / "listing.tsv")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: not a folder"):
        update_listing(tmp_path / "file", tmp_path / "listing.tsv")
    assert not (tmp_path / "listing.tsv").exists()


def test_missing_table_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"full_df\.csv: no such table"):
        update_listing(root, tmp_path / "listing.tsv", ["full_df.csv"])


def test_damaged_listing_is_named(tmp_path: Path) -> None:
    (tmp_path / "listing.tsv").write_text("path\tsize\tsha256\na\tb\tc\n")
    with pytest.raises(DataError, match=r"listing\.tsv: not a listing"):
        read_listing(tmp_path / "listing.tsv")


def test_imports_nothing_heavy() -> None:
    heavy = "[name for name in ('numpy', 'pandas', 'torch', 'h5py') if name in sys.modules]"
    code = f"import sys, heteroscope.data.listing; print({heavy})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
