"""What the schema cannot say of a configuration: names that must be known, and options that must fit each other.

What is refused here would else be found out by a job, after those before it have run for hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from flexpose_core.anatomy import anatomy_of
from flexpose_core.datasets.drawing.options import DrawingOptions
from flexpose_core.datasets.drawing.reader import check_disjoint
from flexpose_core.datasets.faces.options import FacesOptions
from flexpose_core.datasets.options import CocoOptions, KeypointsJsonOptions, skeleton_of
from flexpose_core.datasets.people.options import PeopleOptions
from flexpose_core.errors import ConfigError
from flexpose_core.measures.detection import PCK_THRESHOLDS
from flexpose_core.options.baselines import ONE_EACH
from flexpose_core.options.generator import RegressorArchitecture
from flexpose_core.options.grid import Cell, MethodOptions
from flexpose_core.paper_tables import check_paper_rows
from flexpose_core.skeletons import skeleton_named

if TYPE_CHECKING:
    from flexpose_core.options.config import Config


def check(config: Config) -> None:
    """Check a configuration whose grids and claims are written out.

    Raises
    ------
    ConfigError
        Naming the key, what was expected and what was found.
    """
    _check_datasets(config)
    _check_networks(config)
    _check_methods(config)
    _check_cells(config)
    _check_adaptations(config)
    _check_tables(config)
    _check_splits(config)
    for name, claim in config.claims.items():
        for cell in {cell: None for pair in claim.comparisons for cell in pair}:
            known(cell, config.cells, f"claims.{name}.comparisons")


def known(value: str, names: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError, its message with `where`, unless a name is among others."""
    if value not in names:
        raise ConfigError(f"config: {where}: expected one of {', '.join(sorted(names)) or 'none'}, found {value!r}")


def _check_datasets(config: Config) -> None:
    for name, options in config.datasets.items():
        # A target's choices are made on val: they must not see what its tables are drawn from.
        if not isinstance(options, DrawingOptions) and options.images and options.val_from == "test":
            raise ConfigError(
                f"config: datasets.{name}.val_from: expected 'held_out' in a dataset with images, found 'test'"
            )
        if isinstance(options, PeopleOptions | FacesOptions):
            # What a split is drawn by leaves out the later ones.
            check_disjoint(f"config: datasets.{name}.subjects", "number", options.subjects)
        if (
            not isinstance(options, DrawingOptions | KeypointsJsonOptions | CocoOptions)
            and options.crop.around == "box"
        ):
            raise ConfigError(
                f"config: datasets.{name}.crop.around: expected 'joints', as boxes are read in COCO's format alone, found 'box'"
            )


def _check_networks(config: Config) -> None:
    """Check that the networks can be built, and that β reads what g_s draws."""
    drawn, read = config.generator.architecture.resolution, config.regressor.resolution
    if read != drawn:
        raise ConfigError(
            f"config: regressor.resolution: expected {drawn}, as generator.architecture.resolution, found {read}"
        )
    RegressorArchitecture(skeleton="", resolution=read, width=config.regressor.width)
    for options in (config.detector, *config.detectors.values()):
        options.architecture(joints=1)
    for name in config.detectors:
        known(name, config.datasets, "detectors")
        if not config.datasets[name].images:
            raise ConfigError(f"config: detectors.{name}: expected a dataset with images, found {name!r}")


def _check_methods(config: Config) -> None:
    for name, method in config.methods.items():
        where = f"config: methods.{name}"
        if method.guidance is not None:
            known(method.guidance, config.guidance, f"methods.{name}.guidance")
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
    known(chooser, config.methods, where)
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
        known(cell.method, config.methods, f"{where}.method")
        method, origin = config.methods[cell.method], _origin(config, cell.method)
        known(cell.target, config.datasets, f"{where}.target")
        for source in cell.sources:
            known(source, config.datasets, f"{where}.sources")
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
        if len(set(cell.sources)) < len(cell.sources):
            raise ConfigError(f"config: {where}.sources: expected each once, found {', '.join(cell.sources)}")
        _check_skeletons(config, where, cell)
        _check_guidance(config, where, cell)
        if method.poses != "target":
            _check_size(config, where, cell)
        if cell.layers == "auto" and origin.adaptation is not None:
            # Raises if the method has nothing to choose.
            msgspec.structs.replace(origin.adaptation, layers="auto")
        elif cell.layers is not None:
            config.generator.architecture.check_layers(cell.layers, f"config: {where}.layers")
        # A configuration laid over the default one still has its cells.
        if name in tabled and origin.adaptation is not None and origin.adaptation.joints == "own":
            _check_own_joints(config, cell.method)


def _check_adaptations(config: Config) -> None:
    """Check what the adaptations of the cells in use change, and what they are fitted to."""
    for name, cell in {**config.tabled, **config.layer_study}.items():
        method = _origin(config, cell.method)
        options, network = method.adaptation, config.generator.architecture
        if options is None:
            continue
        if options.perceptual.kind == "pose" and network.mapping != "pose":
            raise ConfigError(
                f"config: methods.{cell.method}.adaptation.perceptual.kind: expected one for a generator of mapping "
                f"{network.mapping!r}, found 'pose'"
            )
        if options.trained == "generator":
            # A pair's layers are those of its other methods.
            if name in config.layer_study:
                raise ConfigError(
                    f"config: figures.figure4.cell: expected a method that can be held to a layer, found {cell.method!r}"
                )
            continue
        layers = cell.layers or options.layers
        if layers != "auto":
            where = (
                f"config: cells.{name}.layers" if cell.layers else f"config: methods.{cell.method}.adaptation.layers"
            )
            network.check_layers(layers, where)
            options.check_layers(layers, where)


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


def _check_splits(config: Config) -> None:
    """Check that the cells in use have the splits that they are learnt from and measured on, as far as the options tell."""
    figures = config.figures
    needed = dict.fromkeys((*config.tabled, *figures.joint_errors), ("train", "val", "test"))
    shown = {name: config.cells[name] for name in (*needed, *figures.tested)}
    for name, cell in shown.items():
        for split in needed.get(name, ("train", "test")):
            if not config.datasets[cell.target].has(split):
                raise ConfigError(
                    f"config: datasets.{cell.target}: expected a {split} split, as cells.{name} is in a table or figure, found none"
                )
    for name, cell in {**shown, **config.layer_study}.items():
        for dataset in (cell.target, *cell.sources):
            _check_paths(config, dataset)
        for source in cell.sources if _origin(config, cell.method).adaptation is not None else ():
            if not config.datasets[source].has("val"):
                raise ConfigError(
                    f"config: datasets.{source}: expected a val split, as g_s and β of cells.{name} are measured on it, found none"
                )


def _check_paths(config: Config, dataset: str) -> None:
    options = config.datasets[dataset]
    if not isinstance(options, KeypointsJsonOptions):
        return
    for path in (options.root, options.train, options.val, options.test):
        if path and {"{", "}"} & {*path}:
            raise ConfigError(
                f"config: datasets.{dataset}: expected a root and files without braces, which Snakemake takes for wildcards, "
                f"found {path!r}"
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
    if method.poses == "adapted" and wanted < config.sample_shards:
        raise ConfigError(
            f"config: sample_shards: expected at most {wanted}, the poses that {where} samples, found {config.sample_shards}"
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


def _check_guidance(config: Config, where: str, cell: Cell) -> None:
    """Check that there are shots to choose layers by, and a source pose for each of the guidance where one is looked for."""
    method = _origin(config, cell.method)
    if method.guidance is None or cell.shots is None:
        return
    adaptation, mixup = method.adaptation, config.guidance[method.guidance].mixup_size
    if (
        adaptation is not None
        and (cell.layers or adaptation.layers) == "auto"
        and cell.shots < adaptation.layer_search.folds
    ):
        raise ConfigError(
            f"config: {where}.shots: expected at least {adaptation.layer_search.folds}, the folds of "
            f"methods.{cell.method}.adaptation.layer_search, for layers 'auto', found {cell.shots}"
        )
    aligned = adaptation is not None and adaptation.alignment is not None
    nearest = method.baseline is not None and method.baseline.kind == "nearest"
    sizes = [config.datasets[source].known_size("train") for source in cell.sources]
    held = sum(size or 0 for size in sizes)
    if (aligned or nearest) and None not in sizes and held < mixup:
        raise ConfigError(
            f"config: guidance.{method.guidance}.mixup_size: expected at most the {held} source poses of {where}, "
            f"one of which is matched with each, found {mixup}"
        )


def _check_tables(config: Config) -> None:
    if "claims" in config.tables:
        raise ConfigError(
            "config: tables.claims: expected another name, as results/claims.csv is the claims' own, found it"
        )
    for name, table in config.tables.items():
        for cell in table.cells:
            known(cell, config.cells, f"tables.{name}.cells")
            target = config.cells[cell].target
            if target not in table.pck_rho:
                found = ", ".join(table.pck_rho) or "none"
                raise ConfigError(f"config: tables.{name}.pck_rho: expected one for {target}, found {found}")
        for target, rho in table.pck_rho.items():
            if rho not in PCK_THRESHOLDS:
                expected = ", ".join(f"{known:g}" for known in PCK_THRESHOLDS)
                raise ConfigError(f"config: tables.{name}.pck_rho.{target}: expected one of {expected}, found {rho:g}")
        if table.paper_rows and len(table.paper_rows) != len(table.cells):
            raise ConfigError(
                f"config: tables.{name}.paper_rows: expected one for each of {len(table.cells)} cells, "
                f"found {len(table.paper_rows)}"
            )
        if table.paper_rows:
            check_paper_rows(name, table.paper_rows)


def check_figures(config: Config) -> None:
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
        known(name, config.cells, f"figures.{key}")
        method = config.methods.get(config.cells[name].method)
        if method is None or method.poses != "adapted" or method.supervision != "none":
            raise ConfigError(f"config: figures.{key}: expected a cell of an adapted method, found {name!r}")
        if key == "figure4.cell" and method.is_adversarial:
            raise ConfigError(
                f"config: figures.{key}: expected a method with pairs, whose loss is shown, found {config.cells[name].method!r}"
            )
    if figures.animated is not None:
        known(figures.animated, config.cells, "figures.animated")
        method = config.methods.get(config.cells[figures.animated].method)
        if method is None or not method.animates:
            raise ConfigError(
                f"config: figures.animated: expected a cell with animated images, found {figures.animated!r}"
            )
    for key in ("figure6", "joint_errors", "curves"):
        for name in getattr(figures, key):
            known(name, config.cells, f"figures.{key}")
    targets = {config.cells[name].target for name in figures.figure6}
    if len(targets) > 1:
        raise ConfigError(f"config: figures.figure6: expected cells of one target, found {', '.join(sorted(targets))}")
