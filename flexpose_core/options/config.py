"""The whole configuration: read once, checked against a schema without unknown keys, then against itself."""

from __future__ import annotations

import json
from typing import Annotated, Any

import jsonschema
import msgspec
from jsonschema.exceptions import best_match
from msgspec import Meta

from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.datasets.people.options import PeopleOptions
from flexpose_core.errors import ConfigError
from flexpose_core.options.adaptation import GuidanceOptions
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.options.generator import GeneratorOptions, RegressorOptions, SampleOptions
from flexpose_core.options.grid import Cell, MethodOptions, TableOptions

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
"""A name that is also a file name, and cannot contain the underscore that joins names in paths."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All options of a run; see config.yaml for what each is for."""

    seeds: Annotated[int, Meta(ge=1)] = 1
    sample_shards: Annotated[int, Meta(ge=1)] = 2
    datasets: dict[Name, DatasetOptions]
    guidance: dict[Name, GuidanceOptions]
    regressor: RegressorOptions
    generator: GeneratorOptions
    sampling: SampleOptions
    detector: DetectorOptions
    methods: dict[Name, MethodOptions]
    cells: dict[Name, Cell]
    tables: dict[Name, TableOptions]


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration; config/schema.json is this."""
    return msgspec.json.schema(Config)


def schema_text() -> str:
    """Return the schema as config/schema.json holds it."""
    return json.dumps(config_schema(), indent=2) + "\n"


def load_config(raw: dict[str, Any]) -> Config:
    """Check a configuration and return it typed.

    Raises
    ------
    ConfigError
        Naming the key, what was expected and what was found.
    """
    problem = best_match(jsonschema.Draft202012Validator(config_schema()).iter_errors(raw))
    if problem is not None:
        raise ConfigError(_describe(_in_its_kind(problem)))
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"config: {error}") from error
    _check_datasets(config)
    _check_cells(config)
    _check_methods(config)
    _check_tables(config)
    return config


def _in_its_kind(problem: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """Return what is wrong with an object of one of several kinds, such as a dataset, by the kind it says it is."""
    kinds = problem.schema.get("discriminator") if isinstance(problem.schema, dict) else None
    if problem.validator != "anyOf" or not kinds or not isinstance(problem.instance, dict):
        return problem
    key, references = kinds["propertyName"], kinds["mapping"]
    where = "config: " + ".".join(str(part) for part in problem.absolute_path)
    if problem.instance.get(key) not in references:
        found = repr(problem.instance[key]) if key in problem.instance else "none"
        raise ConfigError(f"{where}.{key}: expected one of {', '.join(sorted(references))}, found {found}")
    own = {"$ref": references[problem.instance[key]]}
    branch = problem.schema["anyOf"].index(own)
    return best_match(error for error in problem.context or [] if error.schema_path[0] == branch) or problem


def _describe(problem: jsonschema.ValidationError) -> str:
    where = "config: " + ".".join(str(part) for part in problem.absolute_path)
    if problem.validator == "additionalProperties" and isinstance(problem.instance, dict):
        known = problem.schema.get("properties", {})
        unknown = sorted(set(problem.instance) - set(known))
        if known and unknown:
            return f"{where.rstrip(': ')}: unknown key {unknown[0]!r}; expected one of {', '.join(sorted(known))}"
    return f"{where.rstrip(': ')}: {problem.message}".replace("\n", " ")


def _known(value: str, known: dict[str, Any], where: str) -> None:
    if value not in known:
        raise ConfigError(f"config: {where}: expected one of {', '.join(sorted(known))}, found {value!r}")


def _check_datasets(config: Config) -> None:
    for name, options in config.datasets.items():
        # A target's choices are made on val: they must not see what its tables are drawn from.
        if not isinstance(options, PeopleOptions) and options.images and options.val_from == "test":
            raise ConfigError(
                f"config: datasets.{name}.val_from: expected 'held_out' in a dataset with images, found 'test'"
            )


def _check_methods(config: Config) -> None:
    for name, method in config.methods.items():
        if method.guidance is not None:
            _known(method.guidance, config.guidance, f"methods.{name}.guidance")
        if method.poses != "target" and method.guidance is None:
            raise ConfigError(f"config: methods.{name}.guidance: expected the name of a guidance, found none")
        if method.poses == "adapted" and method.adaptation is None:
            raise ConfigError(f"config: methods.{name}.adaptation: expected options, found none")


def _check_cells(config: Config) -> None:
    for name, cell in config.cells.items():
        where = f"cells.{name}"
        _known(cell.method, config.methods, f"{where}.method")
        for dataset in (cell.target, *cell.sources):
            _known(dataset, config.datasets, where)
        if not config.datasets[cell.target].images:
            raise ConfigError(f"config: {where}.target: expected a dataset with images, found {cell.target!r}")
        if config.methods[cell.method].poses == "target":
            continue
        for key in ("sources", "annotation_set_size", "shots"):
            if not getattr(cell, key):
                raise ConfigError(f"config: {where}.{key}: expected a value for method {cell.method!r}, found none")
        _check_size(config, where, cell)
        if cell.layers is not None:
            config.generator.architecture.check_layers(cell.layers, f"{where}.layers")


def _check_size(config: Config, where: str, cell: Cell) -> None:
    method = config.methods[cell.method]
    mixup = config.guidance[method.guidance or ""].mixup_size
    wanted = (cell.annotation_set_size or 0) - mixup
    if wanted < 1:
        raise ConfigError(
            f"config: {where}.annotation_set_size: expected more than the {mixup} mixup poses, found {cell.annotation_set_size}"
        )
    sizes = [config.datasets[source].known_size("train") for source in cell.sources]
    # Of a dataset without a limit only reading tells its size: `compose` checks it then.
    if method.poses != "source" or cell.take_all_if_short or None in sizes:
        return
    held = sum(size or 0 for size in sizes)
    if wanted > held:
        raise ConfigError(
            f"config: {where}.annotation_set_size: expected at most {held + mixup} ({held} source poses and {mixup} of "
            f"pose-mixup), found {cell.annotation_set_size}"
        )


def _check_tables(config: Config) -> None:
    for name, table in config.tables.items():
        for cell in table.cells:
            _known(cell, config.cells, f"tables.{name}.cells")
            _known(config.cells[cell].target, table.pck_rho, f"tables.{name}.pck_rho")


if __name__ == "__main__":
    print(schema_text(), end="")
