"""Makes package/tidelog/_kafka_errors.py of the list the native part has: python tests/kafka_errors.py"""

import re
from pathlib import Path

from tidelog import _native

FILE = Path(__file__).parent.parent / "package" / "tidelog" / "_kafka_errors.py"

HEAD = '''"""Kafka's error codes as exceptions; made by tests/kafka_errors.py, which tests compare."""

from __future__ import annotations


class TidelogError(Exception):
    """The base of all."""

    #: Whether the same may succeed a little later.
    retriable: bool = False


class BrokerError(TidelogError):
    """A refusal in Kafka's terms."""

    #: Kafka's number for it.
    code: int = -1
    #: Kafka's name for it.
    name: str = "UNKNOWN"
    #: The API that answered.
    api: str = ""
'''

CLASS = '''

class {title}(BrokerError):
    """{meaning}"""

    code = {code}
    name = "{name}"
'''


def title(name):
    return name if name.endswith("Error") else name + "Error"


def text():
    codes = _native.error_codes()
    parts = [HEAD]
    for code, name, meaning, retriable in codes:
        kafka_name = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).upper()
        parts.append(CLASS.format(title=title(name), meaning=meaning, code=code, name=kafka_name))
        if retriable:
            parts.append("    retriable = True\n")
    titles = [(code, title(name)) for code, name, _, _ in codes]
    table = "".join(f"    {code}: {name},\n" for code, name in titles)
    parts.append("\n\nBY_CODE: dict[int, type[BrokerError]] = {\n" + table + "}\n\n")
    names = sorted(["TidelogError", "BrokerError", *(name for _, name in titles)])
    parts.append("__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n")
    return "".join(parts)


if __name__ == "__main__":
    FILE.write_text(text())
