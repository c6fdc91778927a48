"""`check` and `show`: what a person is told of a whole, a partial and an empty root, and what is drawn."""

import shutil
import tracemalloc

import cv2
import h5py
import numpy as np
import pytest
from raw_formats import FORMATS

from flexpose_core.datasets import __main__ as command
from flexpose_core.datasets.catalogue import CATALOGUE
from flexpose_core.datasets.raw import raw_batch
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import inspect_dataset
from flexpose_core.stages.contact_sheet import contact_sheet
from flexpose_core.stages.convert import convert

SETTINGS = {
    "keypoints-json": ["train=notes/train.json", "test=notes/test.json", "pictures=frames",
                       "joints={pelvis: root, neck: [throat, nape]}"],
    "mpi-inf-3dhp": ["cameras=[0, 8]"],
    "human36m-npz": ["test=h36m_test.npz"],
}  # fmt: skip
CELL, GAP = 128, 2


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """All formats with their pictures."""
    base = tmp_path_factory.mktemp("originals")
    for name, form in FORMATS.items():
        form.write(base / name, 1, name != "human36m-npz")
    return {name: base / name for name in FORMATS}


def run(verb, name, root, *arguments):
    settings = [word for setting in SETTINGS.get(name, []) for word in ("--set", setting)]
    return command.main([verb, name, str(root), *settings, *map(str, arguments)])


def sheet_of(path):
    return cv2.imread(str(path))[..., ::-1]


def cells_of(path, count):
    sheet, step = sheet_of(path), CELL + GAP
    places = [(GAP + k // 12 * step, GAP + k % 12 * step) for k in range(count)]
    return [sheet[y : y + CELL, x : x + CELL] for y, x in places]


def coloured(cell):
    """How many pixels are far from grey: the fixtures' pictures are grey, bones are not."""
    return int((np.ptp(cell.astype(int), axis=-1) > 90).sum())


def test_the_names_are_listed(capsys):
    assert command.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(CATALOGUE)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_check_of_a_whole_root(name, roots, capsys):
    assert run("check", name, roots[name]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{CATALOGUE[name].title} in {roots[name]}\n")
    assert "  found" in out
    assert "MISSING" not in out
    assert "cannot be read" not in out
    assert f"  obtain    {CATALOGUE[name].obtain}\n  licence   {CATALOGUE[name].licence}" in out
    assert any(
        line.split()[:1] == ["train"] and line.endswith("files or sequences to read") for line in out.splitlines()
    )


@pytest.mark.parametrize("name", sorted(FORMATS))
@pytest.mark.parametrize("there", [True, False])
def test_check_of_an_empty_root_and_of_none(name, there, tmp_path, capsys):
    root = tmp_path / "root"
    if there:
        root.mkdir()
    assert run("check", name, root) == 1
    out = capsys.readouterr().out
    assert ("no such folder" in out) != there
    assert "cannot be read yet: " in out
    assert str(root) in out
    assert "MISSING" in out
    assert "obtain" in out


def test_check_of_a_part(roots, tmp_path, capsys):
    root = tmp_path / "coco"
    shutil.copytree(roots["coco"], root)
    (root / "annotations/person_keypoints_val2017.json").unlink()
    shutil.rmtree(root / "val2017")
    assert run("check", "coco", root) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "found 1 annotations/person_keypoints_train2017.json: training annotations" in lines
    assert "MISSING annotations/person_keypoints_val2017.json: annotations of the test split" in lines
    assert "missing val2017/*.jpg: images of the test split (for images only)" in lines
    assert "train 1 files or sequences to read" in lines
    assert any(line.startswith("test cannot be read yet: ") and "val2017.json: no such file" in line for line in lines)


def test_check_counts_the_other_form_of_a_layout(roots, tmp_path, capsys):
    folder = roots["wflw"] / "WFLW_annotations/list_98pt_rect_attr_train_test"
    other = tmp_path / "WFLW_annotations/list_98pt_test"
    other.mkdir(parents=True)
    for split in ("train", "test"):
        words = [line.split() for line in (folder / f"list_98pt_rect_attr_{split}.txt").read_text().splitlines()]
        (other / f"list_98pt_{split}.txt").write_text("".join(" ".join([*w[:196], w[-1]]) + "\n" for w in words))
    assert run("check", "wflw", tmp_path) == 0
    out = capsys.readouterr().out
    assert "list_98pt_test/list_98pt_train.txt: training list" in out
    assert "MISSING" not in out


def test_a_split_without_files_is_not_complete(roots, monkeypatch, capsys):
    reader = type(inspect_dataset.open_reader(inspect_dataset.dataset_options("coco", roots["coco"], []), seed=0))
    units = reader.units
    monkeypatch.setattr(reader, "units", lambda self, split: [] if split == "val" else units(self, split))
    assert run("check", "coco", roots["coco"]) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "val 0 files or sequences to read: expected at least one" in lines
    assert "train 1 files or sequences to read" in lines


def test_check_asks_for_the_file_of_ones_own_data(roots, tmp_path, capsys):
    assert command.main(["check", "keypoints-json", str(roots["keypoints-json"])]) == 1
    assert "expected --set train=FILE, one of notes/test.json, notes/train.json; found" in capsys.readouterr().out
    assert command.main(["show", "keypoints-json", str(tmp_path), "--out", str(tmp_path / "s.png")]) == 1
    assert "expected --set train=FILE, an annotation file inside the root" in capsys.readouterr().err
    assert not (tmp_path / "s.png").exists()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_show_draws_poses_over_the_images_that_are_there(name, roots, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert run("show", name, roots[name], "--out", out, "--poses", 8) == 0
    lines = capsys.readouterr().out.splitlines()
    count, pictured = (int(lines[-1].split()[place]) for place in (0, 2))
    assert 4 <= count <= 8
    assert sheet_of(out).shape == (CELL + 2 * GAP, 12 * (CELL + GAP) + GAP, 3)
    cells = cells_of(out, count)
    if name == "human36m-npz":
        assert pictured == 0
        assert all(coloured(cell) > 100 and not cell[0, 0].any() for cell in cells)
        return
    # The ground of the fixtures' pictures, and joints over every second one.
    assert pictured >= count / 2
    bare = [coloured(cell) < 10 for cell in cells]
    assert sum(bare) == -(-pictured // 2)
    assert (sum(bare) + sum(coloured(cell) > 50 for cell in cells)) == count


def test_show_draws_skeletons_where_there_are_no_images_or_none_are_wanted(roots, tmp_path, capsys):
    FORMATS["coco"].write(tmp_path / "bare", 1, False)
    for root, others in ((tmp_path / "bare", []), (roots["coco"], ["--set", "images=false"])):
        out = tmp_path / f"{root.name}.png"
        assert run("show", "coco", root, "--out", out, "--poses", 15, *others) == 0
        said = capsys.readouterr().out
        assert "15 poses, 0 of them with their images" in said
        # Where they were looked for is told.
        missing = "without images: annotations/person_keypoints_train2017.json: expected pictures such as"
        assert (f"{missing} {tmp_path / 'bare' / 'train2017'}/" in said) == (root.name == "bare")
        assert all(coloured(cell) > 100 for cell in cells_of(out, 15))
        assert sheet_of(out).shape[0] == 2 * (CELL + GAP) + GAP
    assert run("show", "coco", tmp_path / "bare", "--out", tmp_path / "x.png", "--set", "images=true") == 1
    assert "DataError: " in (error := capsys.readouterr().err)
    assert "expected pictures such as" in error
    assert not (tmp_path / "x.png").exists()


def test_show_says_what_is_wrong_in_one_line(tmp_path, roots, capsys):
    assert run("show", "coco", tmp_path, "--out", tmp_path / "x.png") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert run("show", "coco", roots["coco"], "--split", "dev", "--out", tmp_path / "x.png") == 1
    assert capsys.readouterr().err == "ConfigError: coco: expected a split among train, val, test, found 'dev'\n"
    assert run("show", "coco", roots["coco"], "--set", "crop", "--out", tmp_path / "x.png") == 1
    assert "--set: expected KEY=VALUE, found 'crop'" in capsys.readouterr().err
    assert run("show", "coco", roots["coco"], "--set", "crop={margin: 9}", "--out", tmp_path / "x.png") == 1
    assert "ConfigError: coco: " in capsys.readouterr().err


class Endless:
    """A raw reader without an end; each batch is as large as a long sequence."""

    skeleton, is_video = BODY15, True

    def __init__(self, options):
        self.given = 0

    def splits(self):
        return ("train",)

    def units(self, split):
        return ["a", "b"]

    def read(self, split, unit):
        while True:
            self.given += 1
            assert self.given < 3, "reads on although there are enough poses"
            yield raw_batch(np.random.default_rng(0).uniform(0, 500, (10_000, 15, 2)), np.arange(10_000))


def test_show_stops_when_it_has_enough(tmp_path, monkeypatch):
    import flexpose_core.datasets.coco as module

    monkeypatch.setattr(module, "CocoReader", Endless)
    tracemalloc.start()
    lines = inspect_dataset.show_poses("coco", tmp_path, [], "train", 30, 12, tmp_path / "sheet.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines[-1].startswith("30 poses")
    assert [line[:7] for line in lines[:-1]] == ["a: of 6", "b: of 6"]
    assert peak < 40e6


@pytest.mark.parametrize("images", [True, False])
def test_a_contact_sheet_of_a_cache(roots, tmp_path, images):
    options = FORMATS["wflw"].options_for(roots["wflw"], images=images)
    convert("faces", options, "train", 0, tmp_path / "train.h5", tmp_path / "card.json")
    contact_sheet(tmp_path / "train.h5", 0, tmp_path / "sheet.png")
    with h5py.File(tmp_path / "train.h5") as file:
        count = min(48, int(file.attrs["count"]))
    cells = cells_of(tmp_path / "sheet.png", count)
    assert sum(coloured(cell) < 10 for cell in cells) == (-(-count // 2) if images else 0)
    contact_sheet(tmp_path / "train.h5", 0, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sheet.png").read_bytes()
