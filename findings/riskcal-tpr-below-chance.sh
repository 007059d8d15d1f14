#!/usr/bin/env bash
# What riskcal says an attacker can reach at few false alarms may lie below chance, where many steps compose.
#
# riskcal 1.5.1 on a distribution of dp-accounting 0.6.0: DP-SGD, noise multiplier 1, rate .01, 1,000 steps.
# At a false alarm rate of 1e-5 `analysis.get_beta_from_pld` allows a true positive rate of 2.5e-7, though
# a guess without looking reaches 1e-5. delta(epsilon) of the very same object allows 7.2e-5; at 1e-4 it is
# .00048 against .00055. The function takes the probabilities of dp-accounting's distribution as those of the null;
# they are an upper bound for delta at chosen epsilons ("connect the dots"), and their tail is no
# probability of an outcome. Noise that is set to such a rate is too small. min over epsilon of
# e^epsilon a + delta(epsilon) has not this fault.
#
# Output seen: "1e-05 riskcal 2.52e-07 by delta(epsilon) 7.21e-05", "0.0001 riskcal 4.78e-04 by delta(epsilon) 5.47e-04",
# "0.01 riskcal 2.91e-02 by delta(epsilon) 2.91e-02".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check riskcal==1.5.1 dp-accounting==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from dp_accounting.pld import privacy_loss_distribution
from riskcal import analysis

step = privacy_loss_distribution.from_gaussian_mechanism(
    1.0, sampling_prob=0.01, value_discretization_interval=1e-4, use_connect_dots=True
)
training = step.self_compose(1000)
epsilons = np.linspace(-5.0, 25.0, 30_001)
deltas = np.array(training.get_delta_for_epsilon(list(epsilons)))
seen = {}
for alarms in (1e-5, 1e-4, 1e-2):
    theirs = float(1 - analysis.get_beta_from_pld(training, alarms))
    bound = float(np.min(np.exp(epsilons) * alarms + deltas))
    seen[alarms] = (theirs, bound)
    print(alarms, f"riskcal {theirs:.2e} by delta(epsilon) {bound:.2e}")
assert seen[1e-5][0] < 1e-6 < 5e-5 < seen[1e-5][1], seen  # below chance
assert seen[1e-4][0] < 0.9 * seen[1e-4][1], seen
assert abs(seen[1e-2][0] - seen[1e-2][1]) < 1e-3, seen  # where alarms are many, both agree
PY
