"""Nothing that FlexPose reads can run code: no line unpickles, and files that would are refused unread."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from test_untrusted import Touch

from flexpose_core.errors import CheckpointError, DataError
from flexpose_core.models.perceptual import load_vgg16
from flexpose_core.poses.cache import load_cache
from flexpose_core.training.checkpoint import load_weights, read_header

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("flexpose_core", "workflow_scripts", "tools") for path in (ROOT / folder).rglob("*.py")]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
# An exception's name, to turn torch's refusal into one of ours.
HARMLESS = {("pickle", "UnpicklingError")}


def unpickling(tree: ast.AST) -> list[str]:
    """What in a module could unpickle or run what it reads, as "line: what"."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno}: import {name.name}" for name in node.names if name.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            names = [name.name for name in node.names if (node.module, name.name) not in HARMLESS]
            found += [f"{node.lineno}: from {node.module} import {name}" for name in names]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if (
                (called == "torch.load" and given.get("weights_only") != "True")
                or (called.startswith("torch.hub.load") and given.get("weights_only") != "True")
                or (called in ("np.load", "numpy.load", "load") and given.get("allow_pickle", "False") != "False")
                or called
                in ("eval", "exec", "os.system", "pd.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load")
                or given.get("shell") == "True"
            ):
                found.append(f"{node.lineno}: {called}")
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import numpy, dill.source",
        "from pickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.hub.load('a', 'b')",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, yaml.Loader)",
        "eval(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_lines_that_could_are_found(line):
    assert len(unpickling(ast.parse(line))) == 1


def test_no_line_could():
    found = [f"{path.relative_to(ROOT)}:{what}" for path in SOURCES for what in unpickling(ast.parse(path.read_text()))]
    assert len(SOURCES) > 100
    assert found == []


READERS = {
    "weights.safetensors": lambda path: load_weights(path, "toy"),
    "header.safetensors": read_header,
    "vgg.safetensors": lambda path: load_vgg16(str(path), False, 0),
    "vgg.pth": lambda path: load_vgg16(str(path), False, 0),
    "cache.h5": load_cache,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("form", ["pickle", "torch", "old torch", "numpy"])
def test_a_file_that_would_run_code_is_refused_in_one_line(tmp_path, name, form):
    path, trace = tmp_path / name, tmp_path / "trace"
    content = {"features.0.weight": Touch(trace)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    elif form == "numpy":
        with open(path, "wb") as file:
            np.save(file, np.array([Touch(trace)], object), allow_pickle=True)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises((CheckpointError, DataError)) as caught:
        READERS[name](path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not trace.exists()
