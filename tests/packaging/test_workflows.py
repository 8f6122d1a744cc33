"""Workflows, hooks and forms of the repository: every command, path, version and verb in them is one that exists."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from energy.command.verbs import VERBS
from tests.packaging.release import ROOT
from tests.packaging.test_lowest import pins

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
OUTPUTS = ("dist", "build", ".venv")  # written by what was called before
RIGHTS = {("release", "publish"): {"id-token": "write"}, ("release", "page"): {"contents": "write"}}
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def read(path: Path) -> dict[str, Any]:
    """A file of YAML; its key `on`, which YAML 1.1 takes for true, by its name."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict), path
    return {"on" if key is True else key: value for key, value in found.items()}


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow."""
    return read(path)["jobs"]


def steps(path: Path) -> list[dict[str, Any]]:
    """The steps of a workflow or of an action of ours."""
    held = read(path)
    parts = held["jobs"].values() if "jobs" in held else [held["runs"]]
    return [step for part in parts for step in part.get("steps", [])]


def spoken(path: Path) -> list[str]:
    """The commands of a workflow."""
    return [step["run"] for step in steps(path) if "run" in step]


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> Path:
    """One workflow after another."""
    return request.param


def test_there_are_three() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "nightly", "release"]


def test_it_may_read_and_no_more_unless_it_says_so(workflow: Path) -> None:
    assert read(workflow)["permissions"] == {"contents": "read"}
    rights = {(workflow.stem, name): job["permissions"] for name, job in jobs(workflow).items() if "permissions" in job}
    assert rights == {where: right for where, right in RIGHTS.items() if where[0] == workflow.stem}
    text = workflow.read_text(encoding="utf-8")
    assert "secrets." not in text and "pull_request_target" not in text
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_its_jobs_end_and_give_way(workflow: Path) -> None:
    assert "${{ github.ref }}" in read(workflow)["concurrency"]["group"]
    limits = [job["timeout-minutes"] for job in jobs(workflow).values() if "uses" not in job]
    assert all(0 < limit < 360 for limit in limits)  # six hours are what a hosted machine gives


def test_a_called_workflow_waits_for_no_group_of_its_caller() -> None:
    groups = [read(path)["concurrency"]["group"] for path in WORKFLOWS]
    assert len({*groups}) == len(groups) and not any("github.workflow" in group for group in groups)


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_actions_are_ours_or_pinned_by_commit(path: Path) -> None:
    lines = re.findall(r"^\s*(?:- )?uses: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines
    for line in lines:
        if line.startswith("./"):
            place = ROOT / line
            assert place.is_file() or (place / "action.yml").is_file(), line
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_commit_everywhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in [*WORKFLOWS, *ACTIONS])
    found = set(re.findall(r"uses: ([\w/-]+)@(.*)", text))
    assert len(found) == len({name for name, _ in found})


def test_every_target_of_make_exists(workflow: Path) -> None:
    called = {name for text in spoken(workflow) for name in re.findall(r"\bmake ([\w-]+)", text)}
    assert called - TARGETS == set()


def test_every_path_and_module_exists(workflow: Path) -> None:
    for command in spoken(workflow):
        for module in re.findall(r"-m ([\w.]+)", command):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
        for word in re.findall(r"(?<![\w$./{-])\.?\w[\w.-]*/[\w./*-]*", command):
            assert word.split("/")[0] in OUTPUTS or any(ROOT.glob(word)), word
    for step in steps(workflow):
        for key in ("path", "packages-dir"):
            place = step.get("with", {}).get(key, OUTPUTS[0])
            assert place.split("/")[0] in OUTPUTS, place


def test_caches_depend_on_files_that_exist() -> None:
    (action,) = ACTIONS
    (step,) = steps(action)
    names = step["with"]["cache-dependency-path"].split()
    assert names and all((ROOT / name).is_file() for name in names)


def test_no_command_holds_what_a_stranger_may_write(workflow: Path) -> None:
    inside = {found for text in spoken(workflow) for found in re.findall(r"\$\{\{\s*(.*?)\s*\}\}", text)}
    assert all(re.fullmatch(r"matrix\.\w+", found) for found in inside), inside


def test_the_versions_of_python_are_those_that_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [text.rpartition(" ")[2] for text in project["classifiers"] if ":: 3." in text]
    ci = jobs(GITHUB / "workflows" / "ci.yml")
    tried = ci["test"]["strategy"]["matrix"]["python"]
    assert tried[: len(declared)] == declared, "a version is declared when its tests have passed, and tried before"
    assert "continue-on-error" not in str(ci)
    said = re.search(
        r"^Python (\S+) to (\S+):", (ROOT / "docs" / "stability.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert said is not None and [*said.groups()] == [declared[0], tried[-1]]
    (action,) = ACTIONS
    assert read(action)["inputs"]["version"]["default"] == declared[0] == project["requires-python"].removeprefix(">=")


def test_the_parts_of_the_mutants_are_all_of_them() -> None:
    job = jobs(GITHUB / "workflows" / "nightly.yml")["mutants"]
    (command,) = [step["run"] for step in job["steps"] if "run" in step]
    whole = re.search(r"PART=\$\{\{ matrix\.part \}\}/(\d+)$", command)
    assert whole is not None and job["strategy"]["matrix"]["part"] == [*range(1, int(whole[1]) + 1)]


def test_a_release_is_checked_and_tested_before_it_is_published() -> None:
    found = jobs(GITHUB / "workflows" / "release.yml")
    assert {name: job.get("needs") for name, job in found.items()} == {
        "check": None,
        "test": "check",
        "publish": "test",
        "page": "publish",
    }
    assert read(GITHUB / "workflows" / "release.yml")["on"] == {"push": {"tags": ["v*"]}}
    assert found["test"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in read(GITHUB / "workflows" / "ci.yml")["on"]
    assert found["publish"]["environment"] == "pypi"
    given = {step["with"]["name"] for path in WORKFLOWS for step in steps(path) if "upload-" in step.get("uses", "")}
    taken = {step["with"]["name"] for path in WORKFLOWS for step in steps(path) if "download-" in step.get("uses", "")}
    assert taken <= given


def test_hooks_are_pinned_and_agree_with_the_constraints() -> None:
    repos = read(ROOT / ".pre-commit-config.yaml")["repos"]
    own = [hook for repo in repos if repo["repo"] == "local" for hook in repo["hooks"]]
    wanted = [f"ruff=={pins('constraints.txt')['ruff']}"]
    assert [hook["id"] for hook in own] == ["ruff-check", "ruff-format"]
    assert all(hook["additional_dependencies"] == wanted for hook in own)
    assert all("--force-exclude" in hook["entry"] and "--fix" not in hook["entry"] for hook in own)
    for repo in repos:
        assert repo["repo"] == "local" or re.fullmatch(r"[0-9a-f]{40}", repo["rev"])


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_has_the_parts_that_its_reader_needs(form: Path) -> None:
    held = read(form)
    assert held.keys() == {"name", "description", "labels", "body"}
    names = [part["id"] for part in held["body"]]
    assert len({*names}) == len(names) and all(re.fullmatch(r"[a-z-]+", name) for name in names)
    for part in held["body"]:
        assert part["type"] in {"textarea", "input", "dropdown", "checkboxes"} and part["attributes"]["label"]
        assert ("options" in part["attributes"]) == (part["type"] in {"dropdown", "checkboxes"})


def test_every_verb_and_page_that_is_asked_for_exists() -> None:
    texts = [path.read_text(encoding="utf-8") for path in [*FORMS, GITHUB / "PULL_REQUEST_TEMPLATE.md"]]
    words = {word for text in texts for word in re.findall(r"`energy ([a-z][\w-]*)", text)}
    assert {"doctor", "repro"} <= words and words - {*VERBS} == set()
    for page in {page for text in texts for page in re.findall(r"(?<![\w./-])[\w./-]+\.(?:md|txt)\b", text)}:
        assert (ROOT / page).is_file(), page
    assert {name for text in texts for name in re.findall(r"`make ([\w-]+)`", text)} <= TARGETS


def test_a_weakness_is_reported_privately() -> None:
    assert "Report a vulnerability" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    (link,) = read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["contact_links"]
    assert link["url"].endswith("/security/advisories/new")
