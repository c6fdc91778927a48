"""The whole configuration: read once, checked against a schema without unknown keys, then against itself."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
from jsonschema.exceptions import best_match
from msgspec import Meta

from flexpose_core.anatomy import anatomy_of
from flexpose_core.datasets.drawing.options import DrawingOptions
from flexpose_core.datasets.options import DatasetOptions, skeleton_of
from flexpose_core.errors import ConfigError
from flexpose_core.measures.detection import PCK_THRESHOLDS
from flexpose_core.options.adaptation import GuidanceOptions
from flexpose_core.options.animation import AnimationOptions
from flexpose_core.options.baselines import ONE_EACH
from flexpose_core.options.claims import ClaimOptions, written_out
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.options.figures import FigureOptions
from flexpose_core.options.generator import GeneratorOptions, RegressorOptions, SampleOptions
from flexpose_core.options.grid import Cell, GridOptions, MethodOptions, Name, TableOptions
from flexpose_core.skeletons import skeleton_named


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All options of a run; see config.yaml for what each is for."""

    seeds: Annotated[int, Meta(ge=1)] = 1
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
        problem = best_match(jsonschema.Draft202012Validator(config_schema()).iter_errors(raw))
        found = f"config: {error}" if problem is None else _describe(_in_its_kind(problem))
        raise ConfigError(found) from error
    detectors = {name: _overridden(raw["detector"], own) for name, own in raw.get("detectors", {}).items()}
    config = msgspec.structs.replace(config, detectors=msgspec.convert(detectors, dict[Name, DetectorOptions]))
    _check_datasets(config)
    _check_detectors(config)
    config = _expanded(config)
    _check_methods(config)
    _check_cells(config)
    _check_tables(config)
    return config


def _expanded(config: Config) -> Config:
    """Return the configuration with the grids' cells among the cells, and in the tables that name the grids."""
    cells = dict(config.cells)
    for name, grid in config.grids.items():
        for method in grid.methods:
            _known(method, config.methods, f"grids.{name}.methods")
        cells = {**grid.cells(), **cells}
    tables = {}
    for name, table in config.tables.items():
        listed = dict.fromkeys(table.cells)
        for used in table.grids:
            _known(used, config.grids, f"tables.{name}.grids")
            listed.update(dict.fromkeys(config.grids[used].cells()))
        tables[name] = msgspec.structs.replace(table, cells=tuple(listed))
    config = msgspec.structs.replace(config, cells=cells, tables=tables)
    _check_figures(config)
    cells = {**cells, **config.layer_study}
    config = msgspec.structs.replace(config, cells={**cells, **_choosing_cells(cells, config.methods)})
    for name, claim in config.claims.items():
        for method in (*claim.against, *([claim.method] if claim.method else [])):
            _known(method, config.methods, f"claims.{name}")
    claims = written_out(config.claims, config.tabled, tuple(config.layer_study))
    return msgspec.structs.replace(config, claims=claims)


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
        if not isinstance(options, DrawingOptions) and options.images and options.val_from == "test":
            raise ConfigError(
                f"config: datasets.{name}.val_from: expected 'held_out' in a dataset with images, found 'test'"
            )


def _check_detectors(config: Config) -> None:
    for name in config.detectors:
        _known(name, config.datasets, "detectors")
        if not config.datasets[name].images:
            raise ConfigError(f"config: detectors.{name}: expected a dataset with images, found {name!r}")


def _check_methods(config: Config) -> None:
    for name, method in config.methods.items():
        where = f"config: methods.{name}"
        if method.guidance is not None:
            _known(method.guidance, config.guidance, f"methods.{name}.guidance")
        if method.guidance is None and (method.sees_shots or method.supervision != "none"):
            raise ConfigError(f"{where}.guidance: expected the name of a guidance, found none")
        for key, kind in {"adaptation": "adapted", "baseline": "baseline", "chosen_by": "chosen"}.items():
            if method.poses == kind and getattr(method, key) is None:
                raise ConfigError(
                    f"{where}.{key}: expected {'a method' if key == 'chosen_by' else 'options'}, found none"
                )
            if method.poses != kind and getattr(method, key) is not None:
                found = repr(method.chosen_by) if key == "chosen_by" else "options"
                raise ConfigError(f"{where}.{key}: expected none for poses {method.poses!r}, found {found}")
        if method.chosen_by is not None:
            _check_choice(config, name)
        if method.adaptation is not None:
            for number, layers in enumerate(method.adaptation.layer_search.candidates):
                config.generator.architecture.check_layers(
                    layers, f"{where}.adaptation.layer_search.candidates[{number}]"
                )


def _check_choice(config: Config, name: str) -> None:
    """Check the method that chooses another's poses: it shares its guidance, and does not in turn depend on it."""
    method, where = config.methods[name], f"methods.{name}.chosen_by"
    chooser = method.chosen_by or ""
    _known(chooser, config.methods, where)
    if config.methods[chooser].guidance != method.guidance:
        raise ConfigError(
            f"config: {where}: expected a method with guidance {method.guidance!r}, found {chooser!r} with "
            f"{config.methods[chooser].guidance!r}"
        )
    if name in _choosers(config, name):
        raise ConfigError(f"config: {where}: expected a method that does not depend on {name!r}, found {chooser!r}")


def _choosers(config: Config, name: str) -> list[str]:
    """Return the methods that a method's poses are chosen by, the nearest first, each once: a circle ends where it closes."""
    found: list[str] = []
    while (chooser := config.methods[name].chosen_by) and chooser not in found and chooser in config.methods:
        found.append(chooser)
        name = chooser
    return found


def _origin(config: Config, name: str) -> MethodOptions:
    """Return the method that a method's poses come from in the end: itself, unless they are chosen."""
    return config.methods[[name, *_choosers(config, name)][-1]]


def _check_cells(config: Config) -> None:
    tabled = set(config.tabled)
    for name, cell in config.cells.items():
        where = f"cells.{name}"
        _known(cell.method, config.methods, f"{where}.method")
        method, origin = config.methods[cell.method], _origin(config, cell.method)
        for dataset in (cell.target, *cell.sources):
            _known(dataset, config.datasets, where)
        if not config.datasets[cell.target].images:
            raise ConfigError(f"config: {where}.target: expected a dataset with images, found {cell.target!r}")
        needed = {
            "sources": origin.sees_sources,
            "annotation_set_size": method.poses != "target",
            "shots": method.guidance is not None,
        }
        for key, is_needed in needed.items():
            if is_needed and not getattr(cell, key):
                raise ConfigError(f"config: {where}.{key}: expected a value for method {cell.method!r}, found none")
        if cell.sources and not origin.sees_sources:
            raise ConfigError(
                f"config: {where}.sources: expected none for method {cell.method!r}, found {', '.join(cell.sources)}"
            )
        _check_skeletons(config, where, cell)
        if method.poses != "target":
            _check_size(config, where, cell)
        if cell.layers == "auto" and origin.adaptation is not None:
            # Raises if the method has nothing to choose.
            msgspec.structs.replace(origin.adaptation, layers="auto")
        elif cell.layers is not None:
            config.generator.architecture.check_layers(cell.layers, f"{where}.layers")
        # A configuration laid over the default one still has its cells.
        if name in tabled and origin.adaptation is not None and origin.adaptation.joints == "own":
            _check_own_joints(config, cell.method)


def _check_own_joints(config: Config, method: str) -> None:
    """Check that the generators have poses of their own, and that none is left out for how it is drawn."""
    where, generator = f"config: methods.{method}.adaptation.joints", config.generator
    if generator.architecture.mapping != "pose" or generator.training != "distilled":
        raise ConfigError(
            f"{where}: expected 'read', as the generator's mapping is {generator.architecture.mapping!r} and its training "
            f"{generator.training!r}, found 'own'"
        )
    if config.sampling.keep < 1:
        raise ConfigError(
            f"config: sampling.keep: expected 1, as {method!r} draws no images to choose by, found {config.sampling.keep}"
        )


def _check_skeletons(config: Config, where: str, cell: Cell) -> None:
    """Check what else the jobs of a cell would find out one after another."""
    expected = skeleton_of(config.datasets[cell.target])
    for source in cell.sources:
        found = skeleton_of(config.datasets[source])
        if found != expected:
            raise ConfigError(
                f"config: {where}.sources: expected poses of skeleton {expected}, as the target's, found {source!r} of {found}"
            )
    if config.methods[cell.method].animates:
        try:
            anatomy_of(skeleton_named(expected))
        except ConfigError as error:
            raise ConfigError(f"config: {where}.method: {cell.method!r} animates people: {error}") from error


def _check_size(config: Config, where: str, cell: Cell) -> None:
    method = _origin(config, cell.method)
    mixup = config.guidance[method.guidance or ""].mixup_size if method.sees_shots else 0
    wanted = (cell.annotation_set_size or 0) - mixup
    if wanted < 1:
        raise ConfigError(
            f"config: {where}.annotation_set_size: expected more than the {mixup} mixup poses, found {cell.annotation_set_size}"
        )
    sizes = [config.datasets[source].known_size("train") for source in cell.sources]
    once = method.poses == "source" or (method.baseline is not None and method.baseline.kind in ONE_EACH)
    # Of a dataset without a limit only reading tells its size: `compose` checks it then.
    if not once or cell.take_all_if_short or None in sizes:
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
        for target, rho in table.pck_rho.items():
            if rho not in PCK_THRESHOLDS:
                expected = ", ".join(f"{known:g}" for known in PCK_THRESHOLDS)
                raise ConfigError(f"config: tables.{name}.pck_rho.{target}: expected one of {expected}, found {rho:g}")
        if table.paper_rows and len(table.paper_rows) != len(table.cells):
            raise ConfigError(
                f"config: tables.{name}.paper_rows: expected one for each of {len(table.cells)} cells, "
                f"found {len(table.paper_rows)}"
            )


def _check_figures(config: Config) -> None:
    figures = config.figures
    adapted = {name: getattr(figures, name) for name in ("figure2", "figure3", "explorer")}
    if figures.figure4 is not None:
        adapted["figure4.cell"] = figures.figure4.cell
    if figures.figure5 is not None:
        adapted["figure5.cell"] = figures.figure5.cell
        figures.figure5.cycle_gan.architecture()
    for key, name in adapted.items():
        if name is None:
            continue
        _known(name, config.cells, f"figures.{key}")
        method = config.methods.get(config.cells[name].method)
        if method is None or method.poses != "adapted" or method.supervision != "none":
            raise ConfigError(f"config: figures.{key}: expected a cell of an adapted method, found {name!r}")
        if key == "figure4.cell" and method.is_adversarial:
            raise ConfigError(
                f"config: figures.{key}: expected a method with pairs, whose loss is shown, found {config.cells[name].method!r}"
            )
    if figures.animated is not None:
        _known(figures.animated, config.cells, "figures.animated")
        method = config.methods.get(config.cells[figures.animated].method)
        if method is None or not method.animates:
            raise ConfigError(
                f"config: figures.animated: expected a cell with animated images, found {figures.animated!r}"
            )
    for key in ("figure6", "joint_errors", "curves"):
        for name in getattr(figures, key):
            _known(name, config.cells, f"figures.{key}")
    targets = {config.cells[name].target for name in figures.figure6}
    if len(targets) > 1:
        raise ConfigError(f"config: figures.figure6: expected cells of one target, found {', '.join(sorted(targets))}")


if __name__ == "__main__":
    print(schema_text(), end="")
