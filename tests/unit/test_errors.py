"""app/errors.py says which errors stand there, and which elsewhere: it is right about both."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import app
from app import errors


def kinds(base: type[BaseException] = Exception) -> Iterator[type[BaseException]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_of_app_stands_there_or_is_named_with_its_room() -> None:
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    listed = re.findall(r"^    (app\.\w+) +([\w, ]+)", errors.__doc__ or "", re.M)
    named = {(room, name) for room, names in listed for name in names.split(", ")}

    elsewhere = {
        (".".join(kind.__module__.split(".")[:2]), kind.__name__)
        for kind in kinds()
        if kind.__module__.startswith("app.") and kind.__module__ != "app.errors" and kind.__name__[0] != "_"
    }
    assert elsewhere == named
