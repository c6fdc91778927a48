"""The paper's claims as comparisons between cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flexpose_core.errors import ConfigError
from flexpose_core.options.grid import Cell

Pair = tuple[str, str]
"""Two cells, or two methods: the first is claimed to be the better one."""


class ClaimOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A claim, and the cells that it is tested on.

    Parameters
    ----------
    says
        The claim in words; "{method}" stands for each method of `against`.
    expects
        What every comparison should show of the first cell: "better": a lower figure; "not-worse": one that is higher by less than
        the margin; "alike": one that differs by less than the margin.
    measure
        The figure: the flip-aware MSE-Pixel of the test split, or the loss that an adaptation ends with, in units of the one
        that it starts with.
    margin_pct
        How much higher than the second's the first's figure may be, in percent, for "not-worse" and "alike".
    comparisons
        Pairs of cells.
    method
        Instead of writing the pairs: this method's cells with the cells of each of `against` on the same target, sources, shots and
        size; a method of `against` that sees no sources is compared on its target and shots alone.
    against
        Methods; with more than one, each is a claim of its own.
    strongest
        Instead one claim against all of them: each cell of `method` is compared with the best of theirs on its pair.
    among
        Tables whose cells alone are compared where `method` says which, as far as there are such tables; none: all tables'. Else a
        method that sees no sources meets every cell of `method` on its target, an ablation's of other sizes or layers too.
    layers
        Instead of writing the pairs: each layer of the first half of Figure 4's with its fellow of the second half.
    """

    says: str
    expects: Literal["better", "not-worse", "alike"] = "better"
    measure: Literal["mse", "adaptation"] = "mse"
    margin_pct: Annotated[float, Meta(gt=0)] = 10.0
    comparisons: tuple[Pair, ...] = ()
    method: str | None = None
    against: tuple[str, ...] = ()
    strongest: bool = False
    among: tuple[str, ...] = ()
    layers: bool = False


def written_out(
    claims: Mapping[str, ClaimOptions],
    tabled: Mapping[str, Cell],
    studied: tuple[str, ...],
    tables: Mapping[str, Collection[str]],
) -> dict[str, ClaimOptions]:
    """Return the claims with pairs of cells alone; without those on a method that no cell has.

    Parameters
    ----------
    tabled
        The cells of the tables, by name.
    studied
        The cells of Figure 4, from the first layer to the last.
    tables
        The names of each table's cells.

    Raises
    ------
    ConfigError
        If a claim does not say in just one way what it is tested on, or two of them have the same name.
    """
    result: dict[str, ClaimOptions] = {}
    for name, claim in claims.items():
        _check(name, claim)
        among = {cell for table in claim.among for cell in tables.get(table, ())}
        cells = {cell: tabled[cell] for cell in tabled if cell in among} if claim.among else tabled
        if claim.method is None:
            half = len(studied) // 2
            pairs = tuple(zip(studied[:half], studied[len(studied) - half :], strict=True))
            result[name] = _plain(claim, claim.says, pairs if claim.layers else claim.comparisons)
        elif any(cell.method == claim.method for cell in cells.values()):
            if claim.strongest:
                rivals = tuple(pair for other in claim.against for pair in _of_methods(claim.method, other, cells))
                result[name] = _plain(claim, claim.says + _without(claim, cells), rivals)
                continue
            for other in claim.against:
                own = name if len(claim.against) == 1 else f"{name}-{other}"
                if own in result or (own != name and own in claims):
                    raise ConfigError(f"config: claims.{name}.against: expected no claim {own!r} besides, found one")
                pairs = tuple(_of_methods(claim.method, other, cells))
                result[own] = _plain(claim, claim.says.replace("{method}", other), pairs)
    return result


def _check(name: str, claim: ClaimOptions) -> None:
    ways = (bool(claim.comparisons), claim.method is not None, claim.layers)
    if sum(ways) != 1 or bool(claim.against) != (claim.method is not None):
        raise ConfigError(f"config: claims.{name}: expected comparisons, or method and against, or layers")
    if claim.strongest and claim.method is None:
        raise ConfigError(f"config: claims.{name}.strongest: expected method and against, found none")
    if claim.among and claim.method is None:
        raise ConfigError(f"config: claims.{name}.among: expected method and against, found none")
    if claim.layers != (claim.measure == "adaptation"):
        raise ConfigError(f"config: claims.{name}.measure: expected 'adaptation' with layers and with nothing else")


def _plain(claim: ClaimOptions, says: str, pairs: tuple[Pair, ...]) -> ClaimOptions:
    return msgspec.structs.replace(claim, says=says, comparisons=pairs, method=None, against=(), among=(), layers=False)


def _without(claim: ClaimOptions, cells: Mapping[str, Cell]) -> str:
    """Return which rivals are not among those that the best is taken of, as they have no cell there: nothing, if all have."""
    own = [name for name, cell in cells.items() if cell.method == claim.method]
    met = {other: {first for first, _ in _of_methods(claim.method or "", other, cells)} for other in claim.against}
    absent = {first: [other for other in claim.against if first not in met[other]] for first in own}
    told = [f"{first} without {', '.join(others)}" for first, others in absent.items() if others]
    return f" ({'; '.join(told)})" if told else ""


def _of_methods(method: str, other: str, cells: Mapping[str, Cell]) -> list[Pair]:
    own = {name: cell for name, cell in cells.items() if cell.method == method}
    others = {name: cell for name, cell in cells.items() if cell.method == other}
    keys = ["target", "shots"]
    # A method has sources in all its cells or in none.
    if any(cell.sources for cell in others.values()):
        keys += ["sources", "annotation_set_size", "channels", "layers"]
    alike: dict[tuple, list[str]] = {}
    for name, cell in others.items():
        alike.setdefault(tuple(getattr(cell, key) for key in keys), []).append(name)
    return [
        (first, second)
        for first, cell in own.items()
        for second in alike.get(tuple(getattr(cell, key) for key in keys), [])
    ]
