# SPDX-License-Identifier: GPL-2.0-or-later
"""Documents that say what is wanted: POST /v1/apply, GET /v1/export."""
import pytest

from node import Node

SSH = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfRgm1PLqHWjKOZTQ7ANwmUnXL7N9GQnKs1SVyZIjH one@host"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfRgm1PLqHWjKOZTQ7ANwmUnXL7N9GQnKs1SVyZIjH other@host"


@pytest.fixture(name="node", scope="module")
def node_fixture(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("node")) as node:
        yield node


def document(name, project="shop", public=SSH, **more):
    return {"kind": "key", "project": project, "name": name, "spec": {"public-key": public}, **more}


def apply(node, documents, status=200, **more):
    answer = node.post("/v1/apply", {"documents": documents, **more}, status=status)
    return answer, [(step["kind"], step["name"], step.get("action")) for step in answer["plan"]]


def test_documents_are_made_in_the_order_of_need(node):
    market = [document("b", "market"), document("a", "market"), {"kind": "project", "name": "market"}]
    answer, plan = apply(node, market, **{"dry-run": True})
    assert plan == [("project", "market", "create"), ("key", "b", "create"), ("key", "a", "create")]
    assert answer["applied"] is False
    node.get("/v1/projects/market", status=404)

    answer, plan = apply(node, market)
    assert plan == [("project", "market", "create"), ("key", "b", "create"), ("key", "a", "create")]
    assert answer["applied"] is True
    assert node.get("/v1/projects/market/keys/a")["spec"]["public-key"] == SSH
    before = node.revisions("/v1/projects"), node.revisions("/v1/projects/market/keys")
    assert [action for _, _, action in apply(node, market)[1]] == ["nothing"] * 3
    assert (node.revisions("/v1/projects"), node.revisions("/v1/projects/market/keys")) == before


def test_change_tells_the_difference_and_keeps_the_rest(node):
    apply(node, [{"kind": "project", "name": "shop"}, document("c", labels={"a": "1"}, notes="kept")])
    answer, plan = apply(node, [document("c", public=OTHER, labels={"b": "2"})], **{"dry-run": True})
    assert plan == [("key", "c", "change")]
    assert answer["plan"][0]["difference"] == {"labels": {"b": "2"}, "spec": {"public-key": OTHER}}
    assert node.get("/v1/projects/shop/keys/c")["labels"] == {"a": "1"}
    apply(node, [document("c", public=OTHER, labels={"b": "2"})])
    changed = node.get("/v1/projects/shop/keys/c")
    assert changed["labels"] == {"a": "1", "b": "2"} and changed["notes"] == "kept"
    apply(node, [document("c", labels={"a": None})])
    assert node.get("/v1/projects/shop/keys/c")["labels"] == {"b": "2"}


def test_first_failure_ends_it(node):
    answer, plan = apply(node, [document("d", project="none"), document("e", project="default")], 404)
    assert plan == [("key", "d", None)]
    assert answer["plan"][0]["error"]["code"] == "not-found" and answer["applied"] is False
    node.get("/v1/projects/default/keys/e", status=404)


def test_dry_run_tells_of_everything_wrong(node):
    answer, _ = apply(node, [document("f", public="none"), document("g", public="none")], **{"dry-run": True})
    assert [step["error"]["field"] for step in answer["plan"]] == ["spec.public-key"] * 2


def test_pruned_is_what_has_the_label_and_no_document(node):
    labels = {"app": "pruned"}
    documents = [document(name, project="default", labels=labels) for name in ("p1", "p2", "p3")]
    apply(node, documents + [document("other", project="default")])
    _, plan = apply(node, documents[:1], prune="app=pruned", **{"dry-run": True})
    assert plan == [("key", "p1", "nothing"), ("key", "p2", "delete"), ("key", "p3", "delete")]
    node.get("/v1/projects/default/keys/p2")
    apply(node, documents[:1], prune="app=pruned")
    assert {item["name"] for item in node.get("/v1/projects/default/keys")["items"]} >= {"p1", "other"}
    for name in ("p2", "p3"):
        node.get(f"/v1/projects/default/keys/{name}", status=404)


@pytest.mark.parametrize("body, field", [
    ({}, "documents"),
    ({"documents": [7]}, "documents[0]"),
    ({"documents": [{"name": "x"}]}, "documents[0].kind"),
    ({"documents": [{"kind": "key"}]}, "documents[0].name"),
    ({"documents": [{"kind": "operation", "name": "x"}]}, "documents[0].kind"),
    ({"documents": [{"kind": "key", "name": "x", "project": "A"}]}, "documents[0].project"),
    ({"documents": [], "colour": 1}, "colour"),
    ({"documents": [document("x", project="default")], "prune": "="}, "prune"),
    ({"documents": [document("x", project="none")], "prune": "=", "dry-run": True}, "prune"),
])
def test_wrong_body_names_the_place(node, body, field):
    answer = node.post("/v1/apply", body, status=400)
    assert answer["error"]["field"] == field
    node.get("/v1/projects/default/keys/x", status=404)


def test_what_is_exported_is_there_already(node):
    apply(node, [{"kind": "project", "name": "shop"}, document("x1"), document("x2", labels={"only": "me"})])
    exported = node.get("/v1/export?project=shop")["documents"]
    assert {item["kind"] for item in exported} == {"key"}
    assert all("uid" not in item and "status" not in item for item in exported)
    assert {action for _, _, action in apply(node, exported)[1]} == {"nothing"}
    assert [item["name"] for item in node.get("/v1/export?project=shop&labels=only%3Dme")["documents"]] == ["x2"]
    assert {item["kind"] for item in node.get("/v1/export?kind=project")["documents"]} == {"project"}
    assert node.get("/v1/export?kind=none", status=400)["error"]["field"] == "kind"
    everything = node.get("/v1/export")["documents"]
    assert {"project", "key", "role"} <= {item["kind"] for item in everything}
    assert {action for _, _, action in apply(node, everything)[1]} == {"nothing"}
