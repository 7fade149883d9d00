"""Reads all our YAML: plain data only, within bounds, and checks whose messages name the place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from lesa_framework.errors import ConfigError, did_you_mean, shortened, shown
from lesa_framework.files import read_text

Config = TypeVar("Config", bound=BaseModel)

#: The longest YAML that is read, in characters, ...
_LONGEST: Final = 2**20
#: ... how deep it may be nested, ...
_DEEPEST: Final = 50
#: ... and how many values it may have, each alias counted as all that it stands for.
_MOST_VALUES: Final = 100_000
#: The largest whole number; there is no use for larger ones, and printing huge ones fails.
_LARGEST: Final = 2**63 - 1
#: The most problems that one message lists.
_LISTED: Final = 20


class _PlainLoader(yaml.SafeLoader):
    """Mappings with text keys, lists, text, numbers, true, false and null; bounded, and each key only once."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._values
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _error(f"nested more than {_DEEPEST} levels deep", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            target = self.anchors.get(event.anchor)  # an unknown one is refused below
            if target is not None and target not in self._sizes:
                raise _error(f"alias {shown(event.anchor)} stands for something that contains it", event.start_mark)
            self._values += 0 if target is None else self._sizes[target]
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _error(f"more than {_MOST_VALUES:,} values, aliases included", event.start_mark)
        node = super().compose_node(parent, index)
        if node is not None:
            self._sizes[node] = self._values - before
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise _error(f"the key {_source(key)} is no text; put quotes around it", key.start_mark)
            if key.value in seen:
                raise _error(f"{shown(key.value)} is given twice; keep one of them", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            # PyYAML converts with int(), float() and the like, and leaves their errors as they are.
            raise _error(f"{_source(node)} is not a valid {node.tag.rpartition(':')[2]}", node.start_mark) from error
        if type(value) is int and abs(value) > _LARGEST:
            raise _error(f"{_source(node)} is beyond {_LARGEST}", node.start_mark)
        if type(value) is str and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _error(f"{_source(node)} is half a character, which no file can hold", node.start_mark)
        return value


def _refuse(loader: _PlainLoader, node: yaml.Node) -> Any:  # noqa: ARG001 - the signature of a constructor
    raise _error(
        f"{_source(node)} is read as {node.tag.rpartition(':')[2]}, which is of no use here; put quotes around it to "
        "make it text",
        node.start_mark,
    )


for _tag in ("timestamp", "binary", "set", "omap", "pairs"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _refuse)


def _error(problem: str, place: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, place)


def _source(node: yaml.Node) -> str:
    """What stands at a node, for messages."""
    return (
        shown(node.value)
        if isinstance(node, yaml.ScalarNode)
        else f"this {type(node).__name__.removesuffix('Node').lower()}"
    )


def _place(mark: Any) -> str:
    return f" at line {mark.line + 1}, column {mark.column + 1}"


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ConfigError: It cannot be read, or is no YAML of plain data; the message names line and column.
    """
    return parse_yaml(read_text(path, hint="Give a YAML file."), f"{path}: cannot be read as YAML")


def parse_yaml(text: str, problem: str) -> Any:
    """The content of YAML that is plain data: no tags, dates and the like.

    Args:
        text: The YAML.
        problem: What goes before the reason in a message.

    Raises:
        ConfigError: It is no such YAML; the message names line and column.
    """
    if len(text) > _LONGEST:
        raise ConfigError(f"{problem}: it has {len(text):,} characters; at most {_LONGEST:,} are read.")
    try:
        loader = _PlainLoader(text)
    except yaml.reader.ReaderError as error:  # such as a NUL byte
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise ConfigError(f"{problem}: {error.reason} at line {line}, column {column}.") from error
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{problem}: {shortened(reason)}{_place(mark)}.") from error
    except (ValueError, OverflowError) as error:  # PyYAML's scanner converts with chr() and int()
        raise ConfigError(f"{problem}: {shortened(str(error))}{_place(loader.get_mark())}.") from error


def parse_argument(text: str, place: str) -> Any:
    """An argument of a pipeline from the command line: YAML, and an empty text where there is nothing.

    YAML reads nothing as null. As a negative prompt that turns guidance off, without a word.

    Args:
        text: The argument.
        place: What it was given as, for messages.

    Raises:
        ConfigError: It is no YAML of plain data, or a comment.
    """
    found = parse_yaml(text, f"{place}: the value is not valid YAML") if text.strip() else ""
    if found is None and text.strip().startswith("#"):
        raise ConfigError(f"{place}: the value is a comment. Give a text that begins with # in quotes.")
    return found


def read_section(model: type[Config], key: str, raw: Any, folder: Path | None, problems: list[str]) -> Config | None:
    """Validate a mapping. When it is invalid, the result is None and the reasons are added to `problems`.

    Args:
        model: The class that validates it.
        key: Its place in the file, for messages; empty for a whole file.
        raw: The mapping.
        folder: The folder to which its relative paths refer; None for the current one.
        problems: Receives one line for each invalid value.
    """
    try:
        return model.model_validate(raw, context={"folder": folder})
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A list with a bad item is also reported as too short: only the item's own fault helps.
        around = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
        for detail in details:
            if detail["loc"] in around:
                continue
            place = shortened(".".join([*([key] if key else []), *map(str, detail["loc"])]))
            if detail["type"] == "extra_forbidden":
                known = sorted(model.model_fields)
                near = did_you_mean(str(detail["loc"][-1]), known)
                problems.append(f"{place}: unknown key. Known: {', '.join(known)}.{near}")
            else:
                reason = shortened(detail["msg"].removeprefix("Value error, "), 500)
                problems.append(f"{place}: {reason} (given {shown(detail['input'])}).")
        return None


def listed(problems: Sequence[str]) -> str:
    """One message of several problems, each on its own line; only the first ones if there are very many."""
    more = len(problems) - _LISTED
    return "\n".join([*problems[:_LISTED], *([f"... and {more} more problems of this sort."] if more > 0 else [])])
