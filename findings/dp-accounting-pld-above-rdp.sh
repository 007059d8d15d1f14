#!/usr/bin/env bash
# dp-accounting's PLDAccountant as it comes may be three times looser than its RdpAccountant: many steps, each of
# which says very little.
#
# dp-accounting 0.6.0, Poisson sampled Gaussian, rate .001, 100,000 steps, delta 1e-5. Privacy loss distributions are
# the tight way to count, so that one expects the smaller epsilon of them. The loss of each step is rounded
# upwards to a multiple of 1e-4; where a step's own loss is smaller than that, the rounding is most of the
# sum, and grows with the number of steps. At noise multiplier 100 it says .0240, RDP .0086, and the same
# accountant at an interval of 1e-6 .0074. All three are bounds; the smallest of them may be claimed, and
# no single accountant is the one to trust.
#
# Output seen: "noise 20 rdp 0.0515 pld 0.0599 pld at 1e-6 0.0453",
# "noise 100 rdp 0.0086 pld 0.0240 pld at 1e-6 0.0074".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dp-accounting==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import dp_accounting
from dp_accounting import pld, rdp


def epsilon(accountant, noise):
    step = dp_accounting.PoissonSampledDpEvent(0.001, dp_accounting.GaussianDpEvent(noise))
    return accountant.compose(dp_accounting.SelfComposedDpEvent(step, 100_000)).get_epsilon(1e-5)


for noise, times in ((20.0, 1.1), (100.0, 2.5)):
    moments = epsilon(rdp.RdpAccountant(), noise)
    default = epsilon(pld.PLDAccountant(), noise)
    fine = epsilon(pld.PLDAccountant(value_discretization_interval=1e-6), noise)
    print(f"noise {noise:g} rdp {moments:.4f} pld {default:.4f} pld at 1e-6 {fine:.4f}")
    assert default > times * moments > times * fine, (moments, default, fine)
PY
