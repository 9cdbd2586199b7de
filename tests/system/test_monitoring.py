"""The alert rules and the dashboard in examples/: evaluated by promtool, and about metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.metrics.table import BY_NAME
from tests.parts.process import find_program

EXAMPLES = Path(__file__).parents[2] / "examples"
RULES = EXAMPLES / "prometheus-alerts.yaml"
DASHBOARD = EXAMPLES / "grafana-dashboard.json"

BUILD = {"series": 'r2mirror_build_info{version="0"}', "values": "1x600"}


def case(at: str, alert: str, series: list[dict[str, str]], *labels: dict[str, str]) -> dict[str, Any]:
    """One alert at one moment; `labels`: those that it fires with, none if it does not."""
    return {
        "interval": "10m",
        "input_series": series,
        "alert_rule_test": [
            {"eval_time": at, "alertname": alert, "exp_alerts": [{"exp_labels": one} for one in labels]},
        ],
    }


def of(name: str, values: str, **labels: str) -> dict[str, str]:
    spelled = ", ".join(f'{key}="{value}"' for key, value in {"mirrors": "prod", "store": "eu", **labels}.items())
    return {"series": f"{name}{{{spelled}}}", "values": values}


def fired(severity: str, **labels: str) -> dict[str, str]:
    return {"severity": severity, **labels}


PROD = {"mirrors": "prod", "store": "eu"}
SUCCESS = of("r2mirror_last_success_timestamp_seconds", "0x600")
RUN = of("r2mirror_last_run_timestamp_seconds", "0+600x600")
FAILED = [of("r2mirror_failures_total", "0x60 1x600", reason="moved")]
BUSY = [of("r2mirror_failures_total", "0x60 9x600", reason="quota")]
HELD = [of("r2mirror_prunes_held_back", "1x600")]
MISSING = [of("r2mirror_tags_wanted", "5x600"), of("r2mirror_tags_mirrored", "3x600")]
QUOTA = [
    {"series": f'r2mirror_quota_{name}_pulls{{registry="docker.io"}}', "values": f"{value}x600"}
    for name, value in (("remaining", 9), ("limit", 100))
]
INVALID = [{"series": 'r2mirror_file_valid{file="prod.yaml"}', "values": "1 0x600"}]
LIMITED = [{"series": 'r2mirror_requests_total{host="ghcr.io", status="429"}', "values": "0+100x600"}]

CASES = [
    case("25h", "R2mirrorNoSuccess", [SUCCESS]),
    case("27h", "R2mirrorNoSuccess", [SUCCESS], fired("warning", **PROD)),
    case("27h", "R2mirrorNeverSucceeded", [RUN], fired("warning", **PROD)),
    case("27h", "R2mirrorNeverSucceeded", [RUN, SUCCESS]),
    case("2h", "R2mirrorNoMetrics", [], fired("warning")),
    case("2h", "R2mirrorNoMetrics", [BUILD]),
    case("11h", "R2mirrorNeedsSomeone", FAILED, fired("warning", reason="moved", **PROD)),
    case("9h", "R2mirrorNeedsSomeone", FAILED),
    case("48h", "R2mirrorNeedsSomeone", FAILED),
    case("11h", "R2mirrorNeedsSomeone", BUSY),
    case("30m", "R2mirrorPrunesHeldBack", HELD),
    case("2h", "R2mirrorPrunesHeldBack", HELD, fired("warning", **PROD)),
    case("27h", "R2mirrorTagsMissing", MISSING, fired("info", **PROD)),
    case("10m", "R2mirrorQuotaLow", QUOTA, fired("info", registry="docker.io")),
    case("10m", "R2mirrorFileInvalid", INVALID),
    case("30m", "R2mirrorFileInvalid", INVALID, fired("warning", file="prod.yaml")),
    case("2h", "R2mirrorRateLimited", LIMITED, fired("info", host="ghcr.io")),
]


def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    promtool = find_program("promtool", "Debian package prometheus")
    rules = YAML(typ="safe").load(RULES)
    for rule in rules["groups"][0]["rules"]:
        # promtool would compare them too, to the letter.
        del rule["annotations"]
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "10m", "tests": CASES}
    (tmp_path / "test.yaml").write_text(json.dumps(tests))
    for call in (["test", "rules", "test.yaml"], ["check", "rules", str(RULES)]):
        done = subprocess.run([promtool, *call], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_is_tested() -> None:
    rules = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert rules == {test["alert_rule_test"][0]["alertname"] for test in CASES}


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_each_metric_and_label_exists(path: Path) -> None:
    text = path.read_text()
    names = set(re.findall(r"r2mirror_[a-z_]+", text))
    assert names
    assert names <= BY_NAME.keys()
    for name, matchers in re.findall(r"(r2mirror_[a-z_]+)\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+) ?[=!]", matchers)) <= set(BY_NAME[name].labels), (name, matchers)


def test_the_dashboard_shows_every_metric_but_what_a_person_reads_elsewhere() -> None:
    document = json.loads(DASHBOARD.read_text())
    expressions = " ".join(target["expr"] for panel in document["panels"] for target in panel["targets"])
    hidden = {"r2mirror_build_info", "r2mirror_last_run_timestamp_seconds"}
    assert {name for name in BY_NAME if name not in expressions} == hidden
    places = [tuple(panel["gridPos"].values()) for panel in document["panels"]]
    assert len(set(places)) == len(places)
