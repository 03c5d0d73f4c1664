"""The story itself: what CI files, whom Ben lets pass, and what has to come of it.

Every release is filed under a key of its own, so a story that was broken off goes on where it was. Knows
the portal by HTTP only; of the stack it asks just which model servers run.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops_portal.demo.display import Teller
from mlops_portal.demo.errors import StoryFailed
from mlops_portal.demo.portal import Ci, Document, Person, Problem
from mlops_portal.demo.report import Report
from mlops_portal.demo.traffic import Traffic
from mlops_portal.demo.training import Training

MODEL = "wine"
RATE, LEAST_RATE = 50.0, 10.0  # requests a second
SHARE = 1 / 4  # of what the machine can answer: releases and candidates compute beside the traffic
LIGHT_RATE = 5.0
TERMINAL = ("succeeded", "rolled_back", "rejected", "cancelled")
LONGEST_RELEASE = 150.0
ROLLBACK_LIMIT = 2.0
# Short holds and little grace, so that a person can watch to the end. Certain below 1 % errors takes
# about 490 requests without any: what two steps give at the highest rate. At others the last step holds.
FIRST_PLAN = {"grace_seconds": 3}
STAGING_PLAN = {"steps": [], "grace_seconds": 3}
CANARY_PLAN = {
    "steps": [{"weight": 30, "hold_seconds": 10}, {"weight": 60, "hold_seconds": 12}],
    "grace_seconds": 5,
}
# kind of the pipeline -> the version it becomes, the bump it is registered with, and a description
VERSIONS = {
    "baseline": ("1.0.0", "major", "three measurements"),
    "better": ("1.1.0", "minor", "all measurements"),
    "breaking": ("1.1.1", "patch", "other columns, sold as a fix"),
    "slower": ("1.2.0", "minor", "an average of twelve models, better offline"),
    "faulty": ("2.0.0", "major", "better offline, fails on wines it has not seen"),
}


class Story:
    """One telling. `running_models` names the model servers that run."""

    def __init__(
        self,
        ci: Ci,
        ben: Person,
        training: Callable[[], Training],
        running_models: Callable[[], set[str]],
        teller: Teller,
        report: Report,
    ) -> None:
        self.ci, self.ben = ci, ben
        self._training = training
        self._running_models = running_models
        self.teller, self.report = teller, report
        self.traffic: Traffic | None = None
        self._is_new = False  # whether anything has happened that was not told before

    def tell(self) -> None:
        """From the first version to the rollback; `report` says what came true."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside") as aside:
            self._first_version(aside)
            self._good_version(aside)
            self._slow_version()
            self._bad_version()
        self._sum_up()

    # ---- chapters --------------------------------------------------------------------------------
    def _first_version(self, aside: ThreadPoolExecutor) -> None:
        """1.0.0 goes to staging, then to production; while it does, 1.1.0 is tried in staging."""
        self.teller.chapter("1.0.0: the first version")
        with self.report.part("1.0.0 to staging (with the rest of its training)"):
            self._register("baseline")
            done = self._release("1.0.0", "staging", STAGING_PLAN)
            self.report.expect("1.0.0 succeeded in staging", done["phase"] == "succeeded")
        self._staged_better = aside.submit(self._stage, "better")
        with self.report.part("1.0.0 to production"):
            done = self._release("1.0.0", "production", FIRST_PLAN)
        if not self.report.expect("1.0.0 serves in production", done["phase"] == "succeeded"):
            raise StoryFailed("without a first version in production there is nothing to compare with")
        self._start_traffic()

    def _good_version(self, aside: ThreadPoolExecutor) -> None:
        """1.1.0 is promoted; meanwhile the breaking one is refused, and 1.2.0 and 2.0.0 are tried."""
        self._expect_staged(self._staged_better, "1.1.0")
        self.teller.chapter("1.1.0: better, released to production under traffic")
        failed_before = self._failed_at_stable()
        self._refused = aside.submit(self._refused_version)
        self._staged_slower = aside.submit(self._stage, "slower")
        self._staged_faulty = aside.submit(self._stage, "faulty")
        with self.report.part("1.1.0 to production, canary and promotion"):
            done = self._release("1.1.0", "production", CANARY_PLAN)
            self.report.expect("1.1.0 was promoted", done["phase"] == "succeeded")
            if done["phase"] == "succeeded":
                self.report.promoted_seconds = seconds_of(done)
        self._cleaned = aside.submit(self._clean_up, "1.0.0", failed_before)

    def _refused_version(self) -> None:
        """A breaking signature sold as a patch does not get past validation."""
        self._register("breaking")
        done = self._release("1.1.1", "staging", STAGING_PLAN, in_front=False)
        failed = [check["name"] for check in self.ci.failed_checks(done["id"])]
        self.report.expect("1.1.1 was rejected by validation", done["phase"] == "rejected" and bool(failed))

    def _slow_version(self) -> None:
        """1.2.0 answers every request, and takes its time."""
        with self.report.part("waiting for 1.2.0 in staging"):
            self._refused.result()
            self._expect_staged(self._staged_slower, "1.2.0")
        self.teller.chapter("1.2.0: better offline, no error, only slower")
        with self.report.part("1.2.0 to production, canary and rollback"):
            done = self._release("1.2.0", "production", CANARY_PLAN)
        verdict = done["verdict"]
        by_latency = verdict["kind"] == "harm" and verdict["driven_by"][:1] == ["latency_vs_stable"]
        is_back = done["phase"] == "rolled_back"
        self.report.expect("1.2.0 was rolled back for its latency", is_back and by_latency)
        self._tell_rule(verdict, "latency_vs_stable")
        if is_back:
            self.report.slower_seconds = seconds_of(done)

    def _bad_version(self) -> None:
        """2.0.0 passes everything but the traffic."""
        with self.report.part("waiting for 2.0.0 in staging"):
            self._expect_staged(self._staged_faulty, "2.0.0")
        self.teller.chapter("2.0.0: good on paper, fails on real traffic")
        with self.report.part("2.0.0 to production, canary and rollback"):
            done = self._release("2.0.0", "production", CANARY_PLAN)
        back = [row for row in self.ci.transitions(done["id"]) if row["to_phase"] == "rolling_back"]
        by_judge = bool(back) and back[0]["actor"] == "portal" and done["verdict"]["kind"] == "harm"
        self.report.expect("2.0.0 was rolled back by the judge", done["phase"] == "rolled_back" and by_judge)
        self._tell_rule(done["verdict"], "errors_vs_stable")
        if done["phase"] == "rolled_back":
            self.report.rolled_back_seconds = seconds_of(done)
        if back:
            self._measure_rollback(back[0])
        self._try_again()
        with self.report.part("waiting for the clean-up after 1.1.0"):
            self._cleaned.result()

    # ---- scenes ----------------------------------------------------------------------------------
    def _register(self, kind: str) -> None:
        version, change, description = VERSIONS[kind]
        if version in self.ci.versions(MODEL):
            return
        run_id = self._training().run_of(kind)
        made = self.ci.register(MODEL, run_id, change, description)
        self.teller.line(
            "registry", f"{MODEL} {made['version']} registered as a {change} change: {description}"
        )
        if made["version"] != version:
            raise StoryFailed(
                f"the registry made it {made['version']}, the story needs {version}: somebody else has "
                f"registered versions of {MODEL}; `make demo FRESH=1` begins with an empty state"
            )

    def _stage(self, kind: str) -> Document:
        """Register a version and try it in staging, where nobody waits for it."""
        self._register(kind)
        return self._release(VERSIONS[kind][0], "staging", STAGING_PLAN, in_front=False)

    def _expect_staged(self, staged: Future[Document], version: str) -> None:
        done = staged.result()
        if not self.report.expect(f"{version} succeeded in staging", done["phase"] == "succeeded"):
            raise StoryFailed(f"{version} did not succeed in staging: {done['reason']}")

    def _release(
        self, version: str, environment: str, plan: dict[str, Any], in_front: bool = True
    ) -> Document:
        """File, have it approved where needed, follow to the end."""
        body = {"model": MODEL, "version": version, "environment": environment, "plan": plan, "note": "demo"}
        release = self.ci.file(body, key=f"demo-{environment}-{version}")
        if release["phase"] in TERMINAL:
            self.teller.phase(release, release["phase"], f"{release['reason']} ({release['finished_at']})")
            return release
        self._is_new = True
        deadline = time.monotonic() + LONGEST_RELEASE
        told = row_version = 0
        while True:
            if in_front:
                self.teller.release = release
            if row_version != release["row_version"]:
                row_version, told = release["row_version"], self._tell_history(release, told)
            if release["phase"] in TERMINAL:
                return release
            if release["phase"] == "awaiting_approval" and not release["approvals"]["given"]:
                self.ben.approve(release["id"], "the checks look good")
                self.teller.line("ben", f"approves {version} for {environment}")
            if time.monotonic() > deadline:
                raise StoryFailed(
                    f"{version} to {environment} is still {release['phase']} after "
                    f"{LONGEST_RELEASE:.0f} s: {release['reason']}"
                )
            time.sleep(0.4)
            release = self.ci.release(release["id"])

    def _tell_history(self, release: Document, told: int) -> int:
        """The lines of the history after number `told`; returns the number of the last."""
        for row in self.ci.transitions(release["id"]):
            if row["sequence"] > told:
                told = row["sequence"]
                self.teller.phase(release, row["to_phase"], row["reason"])
        return told

    def _tell_rule(self, verdict: Document, name: str) -> None:
        """What one rule of a verdict says of its numbers."""
        for rule in verdict["rules"]:
            if rule["rule"] == name:
                self.teller.line("judge", rule["explanation"])

    def _start_traffic(self) -> None:
        self.traffic = endpoint_traffic(self.ci, self._training().await_rows(), RATE)
        answered = self.traffic.capacity()
        self.traffic.rate = max(LEAST_RATE, min(RATE, round(answered * SHARE)))
        self.report.tally = self.teller.tally = self.traffic.tally
        self.traffic.start()
        self.teller.line(
            "traffic",
            f"{self.traffic.rate:.0f} requests a second, of {answered:.0f} that this machine can answer, to "
            f"{self.traffic.url}",
        )

    def stop_traffic(self) -> None:
        """No more requests; safe to repeat."""
        if self.traffic is not None:
            self.traffic.stop()

    def _clean_up(self, version: str, failed_before: int) -> None:
        """Wait until the deployment that was stable before has ended; then nothing may have failed."""
        ref = self.report.tally.refs.get(version)
        if ref is None:
            return  # it served before this telling began
        deadline = time.monotonic() + 40
        while any(ref in name for name in self._running_models()) and time.monotonic() < deadline:
            time.sleep(0.3)
        is_gone = not any(ref in name for name in self._running_models())
        self.report.expect(f"{version} was removed after its grace time", is_gone)
        failed = self._failed_at_stable() - failed_before
        self.teller.line(
            "production",
            f"{version} is removed after its grace time; {failed} failed requests over deploy, canary, "
            f"promotion and clean-up of 1.1.0",
        )
        self.report.expect("no request failed because of the healthy 1.1.0", failed == 0)

    def _failed_at_stable(self) -> int:
        """Failed requests that 2.0.0 has not answered."""
        return sum(count for version, count in self.report.tally.failed.copy().items() if version != "2.0.0")

    def _measure_rollback(self, transition: Document) -> None:
        """From the pass that saw the evidence over its limit to the last request for the candidate."""
        last = self.report.tally.last_sent.get("2.0.0")
        if last is None:
            return  # it was rolled back before this telling began
        time.sleep(3)  # whatever would still reach the candidate does so now
        last = self.report.tally.last_sent["2.0.0"]
        delay = max(0.0, last - datetime.fromisoformat(transition["at"]).timestamp())
        self.teller.line(
            "rollback",
            f"from the pass in which the evidence crossed its limit to the last request that reached "
            f"2.0.0: {delay:.2f} s",
        )
        self.report.expect(
            f"the last request reached 2.0.0 within {ROLLBACK_LIMIT:g} s of the verdict",
            delay < ROLLBACK_LIMIT,
        )

    def _try_again(self) -> None:
        """CI files 2.0.0 once more and is told why not."""
        body = {"model": MODEL, "version": "2.0.0", "environment": "production", "plan": CANARY_PLAN}
        try:
            self.ci.file(body, key=f"demo-again-{time.time_ns()}")
        except Problem as problem:
            self.teller.line("ci", f"files 2.0.0 again and is refused: {problem.detail}")
            self.report.expect("2.0.0 is on hold", problem.status == 409 and "on hold" in problem.detail)
        else:
            self.report.expect("2.0.0 is on hold", False)

    def _sum_up(self) -> None:
        if not self._is_new:
            self.teller.chapter("All of this was told before; `make demo FRESH=1` tells it anew")
            time.sleep(5)  # some traffic to see that it still serves
        tally = self.report.tally
        self.report.expect("every failed request was answered by 2.0.0", not self._failed_at_stable())
        if tally.skipped:
            self.teller.line("traffic", f"{tally.skipped} requests were not sent: this machine is too busy")
        self.report.expect("the traffic was steady", tally.skipped <= tally.total / 10)
        for version, example in tally.examples.items():
            if version != "2.0.0":
                self.teller.line("traffic", f"failed at {version}: {example}", "red")


def endpoint_traffic(ci: Ci, rows: Path, rate: float) -> Traffic:
    """Traffic to the model in production, at the address and with the headers that the portal tells."""
    endpoint = ci.get(f"endpoints/production/{MODEL}/")
    return Traffic(endpoint["url"] + "/infer", endpoint["headers"], rows, rate)


def seconds_of(release: Document) -> float:
    """From filing to its end, as the portal recorded it."""
    filed, ended = (datetime.fromisoformat(release[key]) for key in ("requested_at", "finished_at"))
    return (ended - filed).total_seconds()
