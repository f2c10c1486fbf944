"""Where runs are not repeatable, as on a GPU: separate means, and the noise that other code's runs showed."""

import pytest
from living_lab import Lab
from quick_task import BETTER, CONTRACT, WORSE

CONTRACT_UNPAIRED = (
    CONTRACT.replace("paths:", "repeatable: false\npaths:", 1)
    .replace("policy:", "policy:\n  form: unpaired\n  nb0: 3\n  nb_cap: 4", 1)
    .replace("timeout_s: 30", "timeout_s: 31")  # conditions that no other test's runs were made under
)


@pytest.mark.slow
def test_the_noise_of_earlier_experiments_counts_in_later_ones(lab: Lab) -> None:
    target = lab.repository(contract=CONTRACT_UNPAIRED)
    first = target.row(target.experiment(BETTER))
    assert first["state"] == "merged", first["reason"]
    assert first["form"] == "mixed"  # unpaired, in two slots
    nu_of_two_groups = first["n"] + first["n_baseline"] - 2

    def estimate(identity: str) -> dict[str, float]:
        (line,) = [line for line in target.replies(target.pull().number)[0].splitlines() if "Noise" in line]
        return {"nu": float(line.split("ν = ")[1].split()[0])}

    assert estimate(first["experiment_id"])["nu"] == nu_of_two_groups
    second = target.row(target.experiment(WORSE))
    assert second["state"] == "rejected"
    assert estimate(second["experiment_id"])["nu"] > second["n"] + second["n_baseline"] - 2
