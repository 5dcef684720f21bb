"""Every object fits the schema that Kubernetes publishes, with no field that it doesn't know."""

import importlib
import os
from typing import Any

import pytest

from tests.k8s.manifests import K8S, OVERLAYS, Object, built, key

VERSION = "1.37"
OBJECTS = [
    pytest.param(one, id=f"{folder}: {' '.join(key(one))}")
    for folder in (".", *OVERLAYS)
    for one in built(K8S / folder)
]


@pytest.fixture(scope="module")
def schemas() -> Any:
    try:
        return importlib.import_module("kubernetes_validate")
    except ModuleNotFoundError:
        if os.environ.get("CI") or os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail("in CI the schemas must be there: pip install -r requirements-dev.txt")
        pytest.skip("kubernetes-validate isn't installed: pip install -r requirements-dev.txt")


@pytest.mark.parametrize("manifest", OBJECTS)
def test_it_fits_the_schema_strictly(manifest: Object, schemas: Any) -> None:
    schemas.validate(manifest, VERSION, strict=True)


def test_a_misspelt_field_would_be_refused(schemas: Any) -> None:
    with pytest.raises(schemas.ValidationError):
        schemas.validate({**built()[0], "spce": {}}, VERSION, strict=True)
