"""An unforeseen error costs one image or one repository, and says how to report it."""

from __future__ import annotations

import logging

import pytest

from reconciler.apply.outcome import Done, Failed
from tests.bench import V1, V2, Bench, check_visible


@pytest.mark.parametrize("error", [MemoryError(), OverflowError("date value out of range"), KeyError("x")])
def test_an_unforeseen_error_is_the_failure_of_its_image_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V2})
    plan = bench.plan()
    layer = next(iter(V1.children[0].blobs))
    bench.sources["a"].failing[layer] = error  # type: ignore[assignment]
    with caplog.at_level(logging.DEBUG):
        outcomes = bench.apply(plan)
    assert {one.target: type(one) for one in outcomes} == {"a": Failed, "b": Done}
    failed = next(one for one in outcomes if isinstance(one, Failed))
    assert type(error).__name__ in failed.error
    assert "report it" in failed.error
    assert "Traceback" in caplog.text
    assert all(record.levelno == logging.DEBUG for record in caplog.records if record.exc_info)
    check_visible(bench.store)


@pytest.mark.parametrize("reference", ["", "1"])
def test_an_unforeseen_error_of_a_plan_is_its_repository_s_alone(reference: str) -> None:
    bench = Bench.of(a={"1": V1}, b={"1": V2})
    bench.sources["a"].failing[reference] = OverflowError("out of range")  # type: ignore[assignment]
    plan = bench.plan()
    assert plan.counts["errors"] == 1
    assert "OverflowError: out of range" in str(plan.repositories[0].troubles)
    assert {type(one) for one in bench.apply(plan)} == {Done}
