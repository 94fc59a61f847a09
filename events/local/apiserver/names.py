"""What names may look like: the rules of the API for names, label keys and values, with the texts a real server says.

Every rule takes a text and gives the list of what is wrong with it; empty is valid. Lengths are in characters or bytes
as the text of the rule says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

Rule = Callable[[str], list[str]]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_ENVIRONMENT = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_LABEL_LENGTH, _SUBDOMAIN_LENGTH, _PORT_LENGTH = 63, 253, 15


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


def _says(rule: str, pattern: str, *examples: str) -> str:
    shown = "".join(f"'{example}',  or " for example in examples[:-1]) + f"'{examples[-1]}'"
    return f"{rule} (e.g. {shown}, regex used for validation is '{pattern}')"


_is_label, _is_subdomain, _is_label_1035 = _matches(_LABEL), _matches(_SUBDOMAIN), _matches(_LABEL_1035)
_is_qualified, _is_value = _matches(_QUALIFIED), _matches(_VALUE)
_is_config_key, _is_environment, _is_identifier = _matches(_CONFIG_KEY), _matches(_ENVIRONMENT), _matches(_C_IDENTIFIER)

_ENDS = "and must start and end with an alphanumeric character"
LABEL_SAYS = _says(
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS}",
    _LABEL,
    "my-name",
    "123-abc",
)
SUBDOMAIN_SAYS = _says(
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS}",
    _SUBDOMAIN,
    "example.com",
)
LABEL_1035_SAYS = _says(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_PARTS = f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS}"
_QUALIFIED_EXAMPLES = ("MyName", "my.name", "123-abc")
_NAME_PART_SAYS = _says(f"name part {_PARTS}", _QUALIFIED, *_QUALIFIED_EXAMPLES)
_KEY_SAYS = (
    _says(f"a valid label key {_PARTS}", _QUALIFIED, *_QUALIFIED_EXAMPLES)
    + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)
_VALUE_SAYS = _says(
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS}",
    _VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_SAYS = _says(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_ENVIRONMENT_SAYS = _says(
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
    "and must not start with a digit",
    _ENVIRONMENT,
    "my.env-name",
    "MY_ENV.NAME",
    "MyEnvName1",
)
_C_IDENTIFIER_SAYS = _says(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_'",
    _C_IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)


def _at_most(text: str, characters: int) -> list[str]:
    return [f"must be no more than {characters} characters"] if len(text.encode()) > characters else []


def dns1123_label(text: str) -> list[str]:
    """A namespace, a container."""
    if _is_label(text):
        return _at_most(text, _LABEL_LENGTH)
    wrong = "must not contain dots" if _is_subdomain(text) else LABEL_SAYS
    return [*_at_most(text, _LABEL_LENGTH), wrong]


def dns1123_subdomain(text: str) -> list[str]:
    """Most names, and every group."""
    return _at_most(text, _SUBDOMAIN_LENGTH) + ([] if _is_subdomain(text) else [SUBDOMAIN_SAYS])


def dns1035_label(text: str) -> list[str]:
    """A service; a version and the names of a custom resource."""
    return _at_most(text, _LABEL_LENGTH) + ([] if _is_label_1035(text) else [LABEL_1035_SAYS])


def path_segment(text: str) -> list[str]:
    """Names of RBAC objects: anything that a URL can have in one place."""
    if text in {".", ".."}:
        return [f"may not be '{text}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in text]


@lru_cache(maxsize=4096)
def _qualified(text: str) -> tuple[str, ...]:
    wrong: list[str] = []
    prefix, slash, name = text.partition("/")
    if not slash:
        name = text
    elif "/" in name:
        return (_KEY_SAYS,)
    elif not prefix:
        wrong.append("prefix part must be non-empty")
    else:
        wrong += [f"prefix part {said}" for said in dns1123_subdomain(prefix)]
    if not name:
        wrong.append("name part must be non-empty")
    elif len(name.encode()) > _LABEL_LENGTH:
        wrong.append(f"name part must be no more than {_LABEL_LENGTH} bytes")
    if not _is_qualified(name):
        wrong.append(_NAME_PART_SAYS)
    return tuple(wrong)


def qualified_name(text: str) -> list[str]:
    """A label key, an annotation, a finalizer."""
    return list(_qualified(text))


@lru_cache(maxsize=4096)
def _value(text: str) -> tuple[str, ...]:
    too_long = [f"must be no more than {_LABEL_LENGTH} bytes"] if len(text.encode()) > _LABEL_LENGTH else []
    return (*too_long, *([] if _is_value(text) else [_VALUE_SAYS]))


def label_value(text: str) -> list[str]:
    """The value of a label."""
    return list(_value(text))


def config_map_key(text: str) -> list[str]:
    """A key of a ConfigMap or Secret: it becomes a file."""
    wrong = _at_most(text, _SUBDOMAIN_LENGTH)
    return [*wrong, *([] if _is_config_key(text) else [_CONFIG_KEY_SAYS]), *_no_dots(text)]


def environment_name(text: str) -> list[str]:
    """An environment variable."""
    return [*([] if _is_environment(text) else [_ENVIRONMENT_SAYS]), *_no_dots(text)]


def _no_dots(text: str) -> list[str]:
    if text in {".", ".."}:
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def c_identifier(text: str) -> list[str]:
    """A name as the C language has them."""
    return [] if _is_identifier(text) else [_C_IDENTIFIER_SAYS]


def port_name(text: str) -> list[str]:
    """The name of a container's or service's port, when something refers to it."""
    wrong = _at_most(text, _PORT_LENGTH)
    if not re.fullmatch("[-a-z0-9]+", text, re.ASCII):
        wrong.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in text:
        wrong.append("must not contain consecutive hyphens")
    if text and (text[0] == "-" or text[-1] == "-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong
