"""The dialect of the Kubernetes Gateway API: Gateways, routes, and the Services that they lead to.

Every version that was ever served (v1, v1beta1, v1alpha2, v1alpha3) is read alike.  ``Report`` has the
conditions that a controller would write.  All Gateways are served, whatever their class: there is no
controller whose name would choose.
"""

from __future__ import annotations

from typing import Any

from lbcore.config.backends import Backends
from lbcore.config.draft import Draft
from lbcore.config.gateways import Gateways
from lbcore.config.kubernetes import Objects
from lbcore.config.problems import Document
from lbcore.config.routes import Routes

NAME = "a Kubernetes object (apiVersion, kind)"


def claims(data: dict[str, Any]) -> bool:
    """True for everything that looks like a Kubernetes object."""
    return "apiVersion" in data or "kind" in data


def build(documents: list[Document], draft: Draft) -> None:
    """Add what the objects say; what is wrong with one leaves that one out."""
    objects = Objects(draft)
    for document in documents:
        objects.read(document)
    gateways = Gateways(objects)
    Routes(gateways, Backends(objects)).add_all()
    gateways.finish()
