"""What is wrong with a configuration, in words: the key, what was expected and what was found."""

from __future__ import annotations

from typing import Any

import jsonschema
from jsonschema.exceptions import best_match

from flexpose_core.errors import ConfigError

_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "null",
}


def described(raw: Any, schema: dict[str, Any]) -> str | None:
    """Return what is wrong with a configuration by its JSON schema, None if nothing is.

    Raises
    ------
    ConfigError
        If an object of one of several kinds, such as a dataset, is of no known kind.
    """
    problem = best_match(jsonschema.Draft202012Validator(schema).iter_errors(raw))
    return None if problem is None else _in_words(_in_its_kind(problem), schema)


def _in_its_kind(problem: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """Return what is wrong with an object of one of several kinds, such as a dataset, by the kind it says it is."""
    kinds = problem.schema.get("discriminator") if isinstance(problem.schema, dict) else None
    if problem.validator != "anyOf" or not kinds or not isinstance(problem.instance, dict):
        return problem
    key, references = kinds["propertyName"], kinds["mapping"]
    if problem.instance.get(key) not in references:
        found = repr(problem.instance[key]) if key in problem.instance else "none"
        raise ConfigError(f"{_where(problem)}.{key}: expected one of {', '.join(sorted(references))}, found {found}")
    own = {"$ref": references[problem.instance[key]]}
    branch = problem.schema["anyOf"].index(own)
    return best_match(error for error in problem.context or [] if error.schema_path[0] == branch) or problem


def _in_words(problem: jsonschema.ValidationError, schema: dict[str, Any]) -> str:
    where, found = _where(problem), repr(problem.instance)
    if problem.validator == "additionalProperties" and isinstance(problem.instance, dict):
        known = problem.schema.get("properties", {})
        unknown = sorted(set(problem.instance) - set(known))
        if known and unknown:
            return f"{where}: unknown key {unknown[0]!r}; expected one of {', '.join(sorted(known))}"
    # Of the right type for one of several, it is wrong further in.
    further = [one for one in problem.context or [] if one.validator not in ("type", "enum")]
    if problem.validator == "anyOf" and further:
        # An unknown key first, as what is missing beside it may be what was meant.
        return _in_words(
            min(further, key=lambda one: (len(one.absolute_path), one.validator != "additionalProperties")), schema
        )
    if problem.validator in ("type", "anyOf"):
        kinds = _kinds(problem.schema, schema)
        if kinds:
            return f"{where}: expected {' or '.join(kinds)}, found {found}"
    if problem.validator == "enum":
        return f"{where}: expected one of {', '.join(str(value) for value in problem.validator_value)}, found {found}"
    if "propertyNames" in problem.absolute_schema_path and problem.validator == "pattern":
        return f"{where}: expected a name of letters, digits, hyphens and dots, found {found}"
    return f"{where}: {problem.message}".replace("\n", " ")


def _where(problem: jsonschema.ValidationError) -> str:
    return ("config: " + ".".join(str(part) for part in problem.absolute_path)).rstrip(": ")


def _kinds(part: Any, schema: dict[str, Any]) -> list[str]:
    """Return what a part of a schema takes, in words, each once; nothing if it does not say."""
    if not isinstance(part, dict):
        return []
    if "$ref" in part:
        return _kinds(schema["$defs"].get(part["$ref"].rpartition("/")[2]), schema)
    if "anyOf" in part:
        return list(dict.fromkeys(kind for one in part["anyOf"] for kind in _kinds(one, schema)))
    if "enum" in part:
        return [repr(value) for value in part["enum"]]
    return [_WORDS[part["type"]]] if part.get("type") in _WORDS else []
