"""Names in a configuration never reach a shell: what could mean something to one is refused; folders are not given to one."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml
from raw_formats import FORMATS

from flexpose_core.errors import ConfigError
from flexpose_core.options.config import load_config

ROOT = Path(__file__).parents[1]
ODD = [
    *(
        "two words",
        "a'b",
        'a"b',
        "$(touch x)",
        "`touch x`",
        "a;b",
        "a|b",
        "a&b",
        "a*",
        "a?",
        "~",
        "a\\b",
        "{x}",
        "%s",
        "a\tb",
    ),
    *(
        "a\n",
        "a\nb",
        "\na",
        "\0",
        "../a",
        "a/b",
        ".",
        "..",
        ".a",
        "-a",
        "",
        "a_b",
        "naïve",
        "人",
        "a\u202eb",
        "a\u00a0b",
    ),
]
TABLES = ("datasets", "guidance", "methods", "cells", "grids", "tables")


@pytest.fixture(scope="module")
def config():
    """The default configuration as it is read from its file."""
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_odd_names_are_refused_in_one_line(config, table, name):
    options = next(iter(config[table].values()))
    with pytest.raises(ConfigError) as caught:
        load_config({**config, table: {**config[table], name: options}})
    assert str(caught.value).startswith(f"config: {table}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", TABLES)
def test_plain_names_are_taken(config, table):
    options = next(iter(config[table].values()))
    load_config({**config, table: {**config[table], "A-1.5b": options}})


def test_odd_names_in_a_grid_are_refused(config):
    grid = next(iter(config["grids"].values()))
    for name in ODD:
        pairs = {name: next(iter(grid["pairs"].values()))}
        with pytest.raises(ConfigError, match=r"^config: grids\.odd\.pairs"):
            load_config({**config, "grids": {**config["grids"], "odd": {**grid, "pairs": pairs}}})


def test_no_rule_has_a_shell():
    """What a rule gives its script is written into it as Python values by Snakemake, never formatted into a command."""
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        assert not re.findall(r"^\s*(?:shell|run):|\bshell\(|os\.system|subprocess", path.read_text(), re.MULTILINE), (
            path
        )


# Of one's own annotations the files are inputs of the workflow, where braces are wildcards; of the others they are not.
@pytest.mark.parametrize(("kind", "braces"), [("lsp", "{x}"), ("keypoints-json", "")])
def test_a_dataset_in_a_folder_with_an_odd_name_is_read_through_the_workflow(project, kind, braces):
    root = project.folder / f"a 'b' \"c\" $(touch trace) `touch trace` {braces} \u4eba; touch trace"
    FORMATS[kind].write(root, 0, False)
    options = msgspec.to_builtins(FORMATS[kind].options_for(root))
    config = yaml.safe_load((project.folder / "config/tiny.yaml").read_text())
    config["datasets"]["mine"] = options
    (project.folder / "config/odd.yaml").write_text(yaml.safe_dump(config))
    done = project.snakemake("results/data/mine/train.h5", config="config/odd.yaml")
    assert done.returncode == 0, done.stdout[-4000:]
    assert (project.folder / "results/data/mine/train.h5").exists()
    assert not list(project.folder.rglob("trace"))
