"""The story of the serving blocks: what is released, what it answers, and what must come of it.

Everything happens in staging, where nobody has to approve; releases are filed under keys of their own, so a
story that was broken off goes on. Knows the portal by HTTP, models through the gateway, and of the model
servers what they count.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from mlops_portal.demo.display import Teller
from mlops_portal.demo.errors import StoryFailed
from mlops_portal.demo.portal import Ci, Document
from mlops_portal.demo.story import TERMINAL, seconds_of
from mlops_portal.demo.traffic import Traffic
from mlops_portal.demo_serving.asking import ModelFiles, Said, ask, question
from mlops_portal.demo_serving.making import Making
from mlops_portal.demo_serving.report import ServingReport
from mlops_portal.demo_serving.workshop import Workshop

STAGING = "staging"
RATE, LIGHT_RATE = 10.0, 2.0  # requests a second; light when no canary is watched
LONGEST_RELEASE = 150.0
STRAIGHT_PLAN = {"steps": [], "grace_seconds": 3}
# Below 5 % errors is certain after about 100 answers without one; the last step holds until then. An
# ensemble computes more than one of its members does: the plan does not hold that against it.
LIMIT = {"error_rate_max": 0.05}
CANARY = {
    "steps": [{"weight": 30, "hold_seconds": 6}, {"weight": 60, "hold_seconds": 8}],
    "grace_seconds": 3,
}
ENSEMBLE_PLAN = {**CANARY, "rules": {**LIMIT, "compare_latency": False}}
MEMBER_PLAN = {**CANARY, "rules": LIMIT}
USERS, NOBODY = (7, 8), 4711
WRONG_KEY = "d3Jvbmcga2V5LCB3cm9uZyBrZXksIHdyb25nIGtleSE="
HITS = "model_cache_hits_total"
MISSES = "model_cache_misses_total{absent}"
FOUND = "model_features_total{found}"


class Story:
    """One telling. `files_of` leads from a deployment to what was written about its model server."""

    def __init__(
        self,
        ci: Ci,
        making: Making,
        workshop: Workshop,
        files_of: Callable[[str], ModelFiles],
        teller: Teller,
        report: ServingReport,
    ) -> None:
        self.ci, self._making, self._workshop = ci, making, workshop
        self._files_of = files_of
        self.teller, self.report = teller, report
        self.traffic: Traffic | None = None
        self._new: set[str] = set()  # versions of tumour that are released in this telling

    def tell(self, aside: ThreadPoolExecutor) -> None:
        """From one forest to an ensemble with a new member, and every block on the way."""
        self.teller.chapter("tumour 1.0.0: one forest, as most begin")
        with self.report.part("1.0.0 to staging (with the rest of the training)"):
            self._making.members()
            composed = aside.submit(
                self._making.compose,
                {"ensemble": "1.1.0", "router": "1.0.0", "cached": "1.0.0", "encrypted": "1.0.0"},
            )
            self._newer = aside.submit(self._make_newer, composed)
            featured = aside.submit(self._featured)
            self._promoted("tumour", "1.0.0", STRAIGHT_PLAN)
        self._start_traffic()
        self._forest = self._ask("tumour", self._rows()[0])

        with self.report.part("waiting for the compositions"):
            composed.result()
        self.teller.chapter("tumour 1.1.0: forest, boosted trees and a neural net together")
        blocks = aside.submit(self._blocks)
        with self.report.part("1.1.0, the ensemble, through the canary"):
            self.report.ensemble_seconds = self._canary("1.1.0", ENSEMBLE_PLAN)
        self._expect_pinned("1.1.0", "1.0.0")

        with self.report.part("waiting for the new member"):
            self._newer.result()
        self.teller.chapter("tumour 1.2.0: a new version of one member, so a new version of the ensemble")
        with self.report.part("1.2.0, the new member, through the canary"):
            self.report.member_seconds = self._canary("1.2.0", MEMBER_PLAN)
        if self.traffic is not None:
            self.traffic.rate = LIGHT_RATE
        self._expect_pinned("1.2.0", "1.1.0")

        self.teller.chapter("What runs beside the model")
        with self.report.part("the blocks (what was not done meanwhile)"):
            blocks.result()
            featured.result()
        self._sum_up()

    # ---- the ensemble ------------------------------------------------------------------------------
    def _make_newer(self, composed: "Future[None]") -> None:
        """The new member, and what is composed of it; after the versions that come before."""
        composed.result()
        self._making.wider_network()
        self._making.compose({"ensemble": "1.2.0", "cached": "1.1.0"}, network="1.1.0")

    def _canary(self, version: str, plan: Document) -> float | None:
        """A release under traffic; how long it took, None when it was not promoted."""
        done = self._promoted("tumour", version, plan, in_front=True)
        phases = {row["to_phase"] for row in self.ci.transitions(done["id"])}
        certified = done["verdict"]["kind"] == "certified"
        self.report.expect(
            f"tumour {version} went through the canary and was certified", "canary" in phases and certified
        )
        self.teller.line("judge", done["verdict"]["summary"])
        return seconds_of(done) if done["phase"] == "succeeded" else None

    def _expect_pinned(self, version: str, network: str) -> None:
        """The portal shows of which members the version is made, and it answers at the gateway."""
        shown = self.ci.get(f"models/tumour/versions/{version}/")["composition"]
        members = {each["name"]: each["version"] for each in shown["core"]["members"]} if shown else {}
        told = ", ".join(f"{name} {number}" for name, number in members.items())
        self.teller.line("portal", f"tumour {version} is made of {told}")
        pinned = len(members) == 3 and members.get("network") == network
        self.report.expect(f"tumour {version} is an ensemble of three with network {network}", pinned)
        if version in self._new:  # else a later one does
            answering = self._ask("tumour", self._rows()[0]).version
            self.report.expect(f"tumour {version} answers at the gateway", answering == version)

    # ---- the blocks --------------------------------------------------------------------------------
    def _blocks(self) -> None:
        """One after the other: what computes here is missing to those who answer the traffic."""
        self._routed()
        self._sealed()
        self._cached()

    def _routed(self) -> None:
        """Premium and basic callers ask the same and get the answers of different models."""
        self._promoted("tumour-by-tier", "1.0.0", STRAIGHT_PLAN)
        row = self._rows()[0]
        answers = {
            tier: self._ask("tumour-by-tier", row, customer_tier=tier) for tier in ("premium", "basic")
        }
        told = ", ".join(f"{tier} gets {numbers(said)}" for tier, said in answers.items())
        self.teller.line("router", f"the same tumour: {told}")
        premium, basic = answers["premium"], answers["basic"]
        differ = bool(premium.numbers and basic.numbers) and premium.numbers != basic.numbers
        self.report.expect("premium and basic are answered differently", differ)
        if self._forest.version == "1.0.0":  # not when the story was told before
            same = close(premium.numbers, self._forest.numbers)
            self.report.expect("premium gets what the forest alone answered", same)

    def _cached(self) -> None:
        """Asked three times the cache answers twice; another version does not answer with its words."""
        self._promoted("tumour-kept", "1.0.0", STRAIGHT_PLAN)
        unseen = fresh(self._rows()[1])
        if self._ask("tumour-kept", self._rows()[2]).version == "1.0.0":  # not when the story was told before
            hits, misses = self._asked_thrice(unseen)
            self.report.expect("the cache answers from the second request on", (hits, misses) == (2, 1))
        self._newer.result()
        self._promoted("tumour-kept", "1.1.0", STRAIGHT_PLAN)
        hits, misses = self._asked_thrice(unseen)
        self.report.expect("a new version answers the same question itself first", (hits, misses) == (2, 1))

    def _asked_thrice(self, body: Document) -> tuple[int, int]:
        """Hits and misses of three equal questions, by the counters of the model server."""
        files = self._files_of(self._ask("tumour-kept", fresh(self._rows()[2])).deployment)
        before = files.counters()
        answers = [self._ask("tumour-kept", body) for _ in range(3)]
        after = files.counters()
        hits, misses = (int(after.get(name, 0) - before.get(name, 0)) for name in (HITS, MISSES))
        version = answers[0].version
        same = bool(answers[0].numbers) and len({said.numbers for said in answers}) == 1
        self.report.expect(f"tumour-kept {version} gives the same answer from the cache", same)
        self.report.hits += hits
        self.report.asked += len(answers)
        self.teller.line("cache", f"{version} is asked the same three times: model {misses}, cache {hits}")
        return hits, misses

    def _sealed(self) -> None:
        """The encrypted network answers as the plain one; with another key it does not load, and says why."""
        self._promoted("tumour-sealed", "1.0.0", STRAIGHT_PLAN)
        said = self._ask("tumour-sealed", self._rows()[0])
        plain = self._ask("tumour-by-tier", self._rows()[0], customer_tier="basic")
        self.teller.line("encryption", f"the encrypted network answers {numbers(said)}")
        self.report.expect(
            "the encrypted network answers as the plain one", close(said.numbers, plain.numbers)
        )
        artifact = self._files_of(said.deployment).artifact
        refusal = self._workshop.inspect(artifact, MODEL_ENCRYPTION_KEY=WRONG_KEY)
        self.teller.line("encryption", f"with a wrong key: {refusal or 'it loads'}")
        self.report.expect("the encrypted network refuses a wrong key", "MODEL_ENCRYPTION_KEY" in refusal)

    def _featured(self) -> None:
        """The caller sends the number of a user; the rest is looked up."""
        self._making.regression()
        self._making.compose({"features": "1.0.0"})
        self._promoted("spending", "1.0.0", STRAIGHT_PLAN)
        files = self._files_of(self._ask("spending", question({"user_id": USERS[0]})).deployment)
        before = files.counters().get(FOUND, 0)
        said = [self._ask("spending", question({"user_id": user})) for user in USERS]
        found = files.counters().get(FOUND, 0) - before
        for user, answer in zip(USERS, said, strict=True):
            self.teller.line("features", f"user {user} will spend {numbers(answer)} in the coming week")
        differ = all(answer.numbers for answer in said) and said[0].numbers != said[1].numbers
        self.report.expect("a model with features answers by user_id", differ and found == len(USERS))
        unknown = self._ask("spending", question({"user_id": NOBODY}))
        self.teller.line("features", f"user {NOBODY}: {unknown.status} {unknown.text}")
        self.report.expect("nobody's features are not made up", unknown.status >= 400)

    # ---- scenes ------------------------------------------------------------------------------------
    def _promoted(self, model: str, version: str, plan: Document, in_front: bool = False) -> Document:
        """Release a version to staging and wait for its end, which has to be success."""
        body = {"model": model, "version": version, "environment": STAGING, "plan": plan, "note": "demo"}
        release = self.ci.file(body, key=f"demo-serving-{model}-{version}")
        if model == "tumour" and release["phase"] not in TERMINAL:
            self._new.add(version)
        deadline = time.monotonic() + LONGEST_RELEASE
        while release["phase"] not in TERMINAL and time.monotonic() < deadline:
            if in_front:
                self.teller.release = release
            release = self.ci.ended(release["id"], seconds=1 if in_front else 20)
        tone = "green" if release["phase"] == "succeeded" else "red"
        phase = release["phase"].replace("_", " ")
        self.teller.line(f"{model} {version}", f"{phase}: {release['reason']}", tone)
        if not self.report.expect(f"{model} {version} was released", release["phase"] == "succeeded"):
            for check in self.ci.failed_checks(release["id"]):
                self.teller.line(f"{model} {version}", f"{check['name']}: {check['message']}", "red")
            raise StoryFailed(f"{model} {version} is {phase}: {release['reason']}")
        self.report.releases += 1
        return release

    def _ask(self, model: str, body: Document, **parameters: str) -> Said:
        return ask(self.ci, STAGING, model, {**body, "parameters": {**body["parameters"], **parameters}})

    def _rows(self) -> list[Document]:
        return [json.loads(line) for line in self._making.trained.rows.read_text().splitlines()[:3]]

    def _start_traffic(self) -> None:
        endpoint = self.ci.get(f"endpoints/{STAGING}/tumour/")
        url, rows = endpoint["url"] + "/infer", self._making.trained.rows
        self.traffic = Traffic(url, endpoint["headers"], rows, RATE)
        self.report.tally = self.teller.tally = self.traffic.tally
        self.traffic.start()
        self.teller.line("traffic", f"{RATE:.0f} requests a second to {self.traffic.url}")

    def stop_traffic(self) -> None:
        """No more requests; safe to repeat."""
        if self.traffic is not None:
            self.traffic.stop()

    def _sum_up(self) -> None:
        tally = self.report.tally
        self.report.expect("no request failed", tally.total > 0 and not tally.total_failed)
        for version, example in tally.examples.items():
            self.teller.line("traffic", f"failed at {version}: {example}", "red")


def fresh(row: Document) -> Document:
    """The row with a first measurement that nobody has asked for before."""
    first, *others = row["inputs"]
    return {**row, "inputs": [{**first, "data": [first["data"][0] + time.time() % 1000 / 1e6]}, *others]}


def numbers(said: Said) -> str:
    """An answer for people."""
    if not said.numbers:
        return f"{said.status} {said.text}"
    return " / ".join(f"{number:.3f}" for number in said.numbers)


def close(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two answers are the same but for rounding."""
    return len(one) == len(other) > 0 and all(abs(a - b) < 1e-6 for a, b in zip(one, other, strict=True))
