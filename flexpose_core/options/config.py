"""The whole configuration: read once, checked against a schema without unknown keys, then against itself."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.errors import ConfigError
from flexpose_core.options.adaptation import GuidanceOptions
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.claims import ClaimOptions, written_out
from flexpose_core.options.consistency import check, check_figures, known
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.options.figures import FigureOptions
from flexpose_core.options.generator import GeneratorOptions, RegressorOptions, SampleOptions
from flexpose_core.options.grid import Cell, GridOptions, MethodOptions, Name, TableOptions
from flexpose_core.options.problems import described


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All options of a run; see config.yaml for what each is for."""

    seeds: Annotated[int, Meta(ge=1)] = 1
    first_seed: Annotated[int, Meta(ge=0)] = 0
    sample_shards: Annotated[int, Meta(ge=1)] = 1
    measure_shards: Annotated[int, Meta(ge=1)] = 1
    missing: Literal["refused", "allowed"] = "refused"
    container: Annotated[str, Meta(pattern=r"^[A-Za-z0-9./:@_+-]*$(?!\n)")] = ""
    """An image for `--sdm apptainer`: a file, or where it can be pulled from; none runs jobs in Snakemake's own environment.
    Snakemake hands it to a shell as it is."""
    datasets: dict[Name, DatasetOptions]
    guidance: dict[Name, GuidanceOptions]
    regressor: RegressorOptions
    generator: GeneratorOptions
    sampling: SampleOptions
    detector: DetectorOptions
    detectors: dict[Name, DetectorOptions] = {}
    """By target, what its detector has other than `detector` says."""
    animation: AnimationOptions = AnimationOptions()
    methods: dict[Name, MethodOptions]
    cells: dict[Name, Cell]
    grids: dict[Name, GridOptions] = {}
    tables: dict[Name, TableOptions]
    claims: dict[Name, ClaimOptions] = {}
    figures: FigureOptions = FigureOptions()

    @property
    def seed_numbers(self) -> range:
        """The seeds that each cell is run with."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def tabled(self) -> dict[str, Cell]:
        """The cells that stand in a table, by name."""
        used = {name for table in self.tables.values() for name in table.cells}
        return {name: cell for name, cell in self.cells.items() if name in used}

    @property
    def layer_study(self) -> dict[str, Cell]:
        """The cells of Figure 4, by name, from the first layer to the last."""
        study = self.figures.figure4
        return study.cells(self.cells, self.generator.architecture.style_layers) if study else {}


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
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        # Slow, but says more.
        raise ConfigError(described(raw, config_schema()) or f"config: {error}") from error
    detectors = {name: _overridden(raw["detector"], own) for name, own in raw.get("detectors", {}).items()}
    config = msgspec.structs.replace(config, detectors=msgspec.convert(detectors, dict[Name, DetectorOptions]))
    config = _expanded(config)
    check(config)
    return config


def _expanded(config: Config) -> Config:
    """Return the configuration with the grids' cells among the cells, and in the tables that name the grids."""
    made: dict[str, Cell] = {}
    origin: dict[str, str] = {}
    for name, grid in config.grids.items():
        for method in grid.methods:
            known(method, config.methods, f"grids.{name}.methods")
        for cell_name, cell in grid.cells().items():
            if made.get(cell_name, cell) != cell and cell_name not in config.cells:
                raise ConfigError(
                    f"config: grids.{name}: expected another name than {cell_name!r}, found that of a cell of "
                    f"grids.{origin[cell_name]} with other values"
                )
            origin.setdefault(cell_name, name)
        made = {**grid.cells(), **made}
    cells = {**made, **config.cells}
    tables = {}
    for name, table in config.tables.items():
        listed = dict.fromkeys(table.cells)
        for used in table.grids:
            known(used, config.grids, f"tables.{name}.grids")
            listed.update(dict.fromkeys(config.grids[used].cells()))
        tables[name] = msgspec.structs.replace(table, cells=tuple(listed))
    config = msgspec.structs.replace(config, cells=cells, tables=tables)
    check_figures(config)
    cells = _joined(cells, config.layer_study, "one layer of Figure 4")
    cells = _joined(cells, _choosing_cells(cells, config.methods), "the cell that chooses another's poses")
    config = msgspec.structs.replace(config, cells=cells)
    for name, claim in config.claims.items():
        for method in (*claim.against, *([claim.method] if claim.method else [])):
            known(method, config.methods, f"claims.{name}")
    in_tables = {name: table.cells for name, table in config.tables.items()}
    claims = written_out(config.claims, config.tabled, tuple(config.layer_study), in_tables)
    return msgspec.structs.replace(config, claims=claims)


def _joined(cells: dict[str, Cell], more: dict[str, Cell], what: str) -> dict[str, Cell]:
    """Return cells with those that are made of them; raises ConfigError where another one has such a name already."""
    for name, cell in more.items():
        if cells.get(name, cell) != cell:
            raise ConfigError(f"config: cells.{name}: expected another name, as {what} is called so, found it")
    return {**cells, **more}


def _choosing_cells(cells: dict[str, Cell], methods: dict[str, MethodOptions]) -> dict[str, Cell]:
    """Return the cells that others' poses are chosen by and that are not among them: CELL.METHOD."""
    more: dict[str, Cell] = {}
    known = set(cells.values())
    for name, cell in cells.items():
        seen = {cell.method}
        while (method := methods.get(cell.method)) and method.chosen_by and method.chosen_by not in seen:
            seen.add(method.chosen_by)
            cell = msgspec.structs.replace(cell, method=method.chosen_by)
            if cell not in known:
                known.add(cell)
                more[f"{name}.{cell.method}"] = cell
    return more


def _overridden(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return options with others in the place of those of the same name, nested ones one by one."""
    both = {key: _overridden(base[key], own[key]) for key in own if isinstance(own[key], dict) and key in base}
    return {**base, **own, **both}


if __name__ == "__main__":
    print(schema_text(), end="")
