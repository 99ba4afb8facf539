"""The results card: what was claimed, what came out, and everything needed to get it again."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from html import escape
from pathlib import Path
from typing import Any

from medgan_course.errors import CourseError
from medgan_course.experiments.claim import thresholds, verdict
from medgan_course.viz.table import Table
from medgan_course.writing import replacing

# Plain data, so that other programs can check a card too. The few keywords it uses are interpreted here,
# because a JSON Schema library would be one more thing to install for one file of the package.
SCHEMA = json.loads((Path(__file__).parent / "card.schema.json").read_text("utf-8"))
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def folder() -> Path:
    """Return the folder of the committed cards: here, in an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    shipped = package / "results"
    here = Path("results")
    return next((each for each in (here, shipped) if each.is_dir()), package.parent / "results")


@dataclass(frozen=True)
class ResultsCard:
    """One system, one profile, all its claims.

    Attributes
    ----------
    system, title : str
        Name of the file in ``systems/``, and the first line of its docstring.
    profile : {"smoke", "cpu", "gpu"}
        Where steps and sizes came from.
    seeds : list of int
        One training an arm for each.
    claims : list of dict
        For each claim its ``statement``, ``metric``, ``kind``, ``better``, ``variant``, ``baseline``,
        ``margin``, ``fails``; the ``values`` of every arm, one a seed; the compared ``quantities``, one a
        seed, their ``mean`` and 95 % ``interval``; the ``verdict``.
    data : list of dict
        ``name``, ``split``, ``size`` in pixels or None for points, ``n``, ``source``, and whether it is a
        ``surrogate``.
    settings : dict
        Steps, sizes and the experiment's own settings.
    parameters : dict
        Trainable weights of every arm's players.
    seconds : dict
        What every arm took, one number a seed, interrupted runs included.
    device : str
        What it ran on.
    versions : dict
        Of this library, torch and Python, while the arms ran.
    command, made : str
        What gives this card again, and the date.
    """

    system: str
    title: str
    profile: str
    seeds: list[int]
    claims: list[dict[str, Any]]
    data: list[dict[str, Any]]
    settings: dict[str, Any]
    parameters: dict[str, dict[str, int]]
    seconds: dict[str, list[float]]
    device: str
    versions: dict[str, str]
    command: str
    made: str

    def __post_init__(self) -> None:
        for problem in _problems(asdict(self), SCHEMA, "card"):
            raise CourseError(f"The results card of {self.system} is not valid: {problem}.")
        for claim in self.claims:
            for problem in _contradictions(claim, self):
                raise CourseError(
                    f"The results card of {self.system} contradicts itself in {claim['statement']!r}: "
                    f"{problem}; a card is written by medgan run, not by hand."
                )

    @property
    def is_surrogate(self) -> bool:
        """Whether phantoms stood in for real images anywhere."""
        return any(each["surrogate"] for each in self.data)

    @classmethod
    def read(cls, path: Path) -> "ResultsCard":
        """Return the card at ``path``.

        Raises
        ------
        CourseError
            If there is none, it lacks something, or a verdict does not follow from its own numbers.
        """
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CourseError(f"{path} is no readable results card ({error}): make it again.") from error
        names = {field.name for field in fields(cls)}
        if not isinstance(found, dict) or found.keys() != names:
            differing = ", ".join(sorted(names ^ set(found))) if isinstance(found, dict) else "no object"
            raise CourseError(f"{path} is no results card (missing or unknown: {differing}): make it again.")
        return cls(**found)

    def write(self, path: Path) -> None:
        """Write the card; an older one at ``path`` is replaced whole or not at all."""
        try:
            with replacing(path) as partial:
                partial.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", "utf-8")
        except OSError as error:
            raise CourseError(
                f"The results card {path} cannot be written ({error}): free space or give another --out."
            ) from error

    def __str__(self) -> str:
        """Return the report: every claim with its verdict, scores and interval, then how it came about."""
        return "\n".join(self._report())

    def _report(self) -> Iterator[str]:
        yield self.title
        for claim in self.claims:
            yield ""
            yield f"{claim['verdict'].upper()}: {claim['statement']}"
            yield from (f"  {line}" for line in str(_scores(claim, self.seeds)).splitlines())
            yield f"  {_outcome(claim)}"
        yield ""
        yield from self._circumstances()

    def _repr_html_(self) -> str:
        """Return the report for a page; how it came about unfolds."""
        claims = "".join(
            f"<p><strong>{escape(claim['verdict'])}</strong>: {escape(claim['statement'])}</p>"
            f'<div style="overflow-x:auto">{_scores(claim, self.seeds)._repr_html_()}</div>'
            f"<p>{escape(_outcome(claim))}</p>"
            for claim in self.claims
        )
        circumstances = "".join(f"<li>{escape(line)}</li>" for line in self._circumstances())
        return (
            f'<div class="results-card"><p><strong>Results card: {escape(self.title)}</strong></p>{claims}'
            f"<details><summary>How it came about</summary><ul>{circumstances}</ul></details></div>"
        )

    def _circumstances(self) -> Iterator[str]:
        if len(self.seeds) < 3:
            yield f"{len(self.seeds)} of the 3 seeds that a verdict needs: nothing can be shown yet."
        elif len(self.seeds) < 5:
            yield (
                f"An interval over {len(self.seeds)} seeds is little more than their range: where trainings "
                "differ more than images, it covers the truth in "
                f"{100 * (1 - 0.5 ** (len(self.seeds) - 1)):.0f} % of experiments, not in 95 %."
            )
        for each in self.data:
            kind = "SURROGATE, computed phantoms" if each["surrogate"] else each["source"].rstrip(".")
            images = f"{each['n']:,} " + (f"images of {each['size']} px" if each["size"] else "points")
            yield f"Data      {each['name']} {each['split']}, {images}: {kind}"
        for arm, nets in self.parameters.items():
            weights = ", ".join(f"{net} {n:,}" for net, n in nets.items())
            took = sum(self.seconds[arm]) / len(self.seeds)
            yield f"Arm       {arm}: {weights + ' weights, ' if nets else ''}{took:.1f} s a seed"
        yield f"Run       profile {self.profile} on {self.device}; " + ", ".join(
            f"{name} {version}" for name, version in self.versions.items()
        )
        yield f"Again     {self.command}"


def table(cards: list[ResultsCard]) -> Table:
    """Return one row for every claim of every card."""
    return Table(
        ["System", "Metric", "Compared", "Mean [95 %]", "Margin", "Verdict", "Profile", "Data"],
        [
            [
                card.title.partition(" (")[0],
                claim["metric"],
                _compared(claim),
                f"{claim['mean']:.3g} [{claim['interval'][0]:.3g}, {claim['interval'][1]:.3g}]",
                _margin(claim),
                claim["verdict"],
                f"{card.profile}, {len(card.seeds)} seed{'s' if len(card.seeds) > 1 else ''}",
                ", ".join(dict.fromkeys(each["name"] for each in card.data))
                + (" SURROGATE" if card.is_surrogate else ""),
            ]
            for card in cards
            for claim in card.claims
        ],
    )


def rounded(value: float, *, digits: int = 6) -> float:
    """Return ``digits`` significant digits: more would be noise that a reader has to skip."""
    return float(f"{value:.{digits}g}")


def quantities(kind: str, variant: list[float], baseline: list[float] | None) -> list[float]:
    """Return what a claim compares, seed by seed, from the values as they stand on the card."""
    if baseline is None:
        return variant
    pairs = zip(variant, baseline, strict=True)
    return [rounded(v / b if kind == "ratio" else v - b) for v, b in pairs]


def _scores(claim: Mapping[str, Any], seeds: list[int]) -> Table:
    rows = dict(claim["values"])
    if claim["kind"] != "value":
        rows[_compared(claim)] = claim["quantities"]
    return Table(
        [claim["metric"], "mean", *(f"seed {seed}" for seed in seeds)],
        [
            [name, *(f"{value:.4g}" for value in (sum(values) / len(values), *values))]
            for name, values in rows.items()
        ],
    )


def _compared(claim: Mapping[str, Any]) -> str:
    sign = {"difference": "minus", "ratio": "over"}
    return (
        claim["variant"]
        if claim["kind"] == "value"
        else f"{claim['variant']} {sign[claim['kind']]} {claim['baseline']}"
    )


def _margin(claim: Mapping[str, Any]) -> str:
    supports, _ = thresholds(claim["kind"], claim["better"], claim["margin"], claim["fails"])
    return f"{'above' if claim['better'] == 'higher' else 'below'} {supports + 0:g}"  # no -0


def _outcome(claim: Mapping[str, Any]) -> str:
    low, high = claim["interval"]
    return f"95 % interval of {_compared(claim)}: [{low:.4g}, {high:.4g}]; the claim says {_margin(claim)}."


def _contradictions(claim: Mapping[str, Any], card: ResultsCard) -> Iterator[str]:
    """Yield what in a claim does not follow from its own numbers."""
    kind, values = claim["kind"], claim["values"]
    named = [claim["variant"], *([] if kind == "value" else [claim["baseline"]])]
    if any(name not in values for name in named) or (claim["baseline"] is None) != (kind == "value"):
        yield "the values of its variant or baseline are missing"
        return
    if any(len(each) != len(card.seeds) for each in [*values.values(), claim["quantities"]]):
        yield f"there must be one value for each of the {len(card.seeds)} seeds"
        return
    expected = quantities(kind, values[named[0]], values[named[1]] if kind != "value" else None)
    if not all(map(math.isclose, expected, claim["quantities"])):
        yield f"the values give the {kind} {expected}, not {claim['quantities']}"
    if not math.isclose(mean := rounded(sum(expected) / len(expected)), claim["mean"]):
        yield f"the mean is {mean}, not {claim['mean']}"
    low, high = claim["interval"]
    if not low <= high:
        yield f"the interval [{low}, {high}] is upside down"
    judged = verdict(
        kind,
        claim["better"],
        claim["margin"],
        claim["fails"],
        claim["interval"],
        seeds=len(card.seeds),
        profile=card.profile,
    )
    if judged != claim["verdict"]:
        yield f"its interval and margin say {judged!r}, not {claim['verdict']!r}"


def _problems(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield how ``value`` departs from ``schema``, for the keywords that ``card.schema.json`` uses."""
    allowed = schema.get("type", [])
    allowed = [allowed] if isinstance(allowed, str) else allowed
    # A bool is an int to Python, not to JSON; NaN is neither's number.
    fits = any(
        isinstance(value, _TYPES[name]) and (isinstance(value, bool) <= (name == "boolean"))
        for name in allowed
    )
    if (allowed and not fits) or (isinstance(value, float) and not math.isfinite(value)):
        yield f"{where} is {value!r}, not {' or '.join(allowed)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}, not one of {', '.join(map(repr, schema['enum']))}"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} entries"
        for index, each in enumerate(value):
            yield from _problems(each, schema.get("items", {}), f"{where}[{index}]")
    if isinstance(value, dict):
        properties, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        for name in schema.get("required", []):
            if name not in value:
                yield f"{where}.{name} is missing"
        for name, each in value.items():
            if name not in properties and other is False:
                yield f"{where}.{name} is unknown"
            else:
                yield from _problems(each, properties.get(name, other), f"{where}.{name}")
