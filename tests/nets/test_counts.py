"""Counts against the published recounts, to their last digit, and the width solver against brute force."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_res3d.nets.counts import count_macs, count_params, solve_width, with_budget
from keras_res3d.nets.zoo import ZOO

# Recounts on the released graph (parameters in millions, GMACs), 101 classes; c3d with 487.
RECOUNTS = {
    "res2d18": ("11.23", "1.74"),
    "res2d34": ("21.34", "3.59"),
    "res3d18": ("33.22", "20.45"),
    "res3d34": ("63.53", "37.79"),
    "mc1": ("32.50", "10.48"),
    "mc2": ("32.53", "10.89"),
    "mc3": ("32.78", "21.23"),
    "mc4": ("32.49", "23.53"),
    "mc5": ("32.99", "19.63"),
    "2.5d": ("33.24", "11.15"),
    "sr18": ("33.22", "10.84"),
    "d10": ("33.74", "12.11"),
    "d16": ("33.59", "17.74"),
    "d18": ("33.22", "10.84"),
    "d26": ("33.80", "8.79"),
    "d34": ("32.84", "10.33"),
    "c3d": ("79.99", "38.55"),
}

# Live parameters in millions, GMACs without padded products; net, frames.
LIVE = {
    ("res3d18", 8): ("17.89", "17.21"),
    ("res3d18", 16): ("33.22", "37.66"),
    ("res3d34", 8): ("38.76", "30.85"),
    ("sr18", 4): ("12.87", "7.54"),
    ("mc5", 4): ("25.41", "14.74"),
    ("d10", 4): ("13.68", None),
    ("d16", 4): ("14.34", None),
    ("d26", 4): ("12.74", None),
    ("d34", 4): ("12.58", None),
}


def _two_digits(n, unit):
    return f"{n / unit:.2f}"


@pytest.mark.parametrize("net", RECOUNTS)
def test_recounts_are_met_to_the_last_digit(net):
    assert (_two_digits(count_params(net), 1e6), _two_digits(count_macs(net), 1e9)) == RECOUNTS[net]


@pytest.mark.parametrize(
    "net, params, gmacs",
    [("r3d_18", 33371472, 40.697), ("mc3_18", 11695440, 43.343), ("r2plus1d_18", 31505325, 40.519)],
)
def test_torchvision_counts_are_exact(net, params, gmacs):
    assert count_params(net, 400) == params
    assert round(count_macs(net) / 1e9, 3) == gmacs


def test_resolutions_of_table_5():
    assert [round(count_macs(net) / 1e9, 1) for net in ("sr18_56", "sr18", "sr18_224")] == [10.7, 10.8, 11.4]


@pytest.mark.parametrize("net, frames", LIVE)
def test_live_counts(net, frames):
    params, gmacs = LIVE[net, frames]
    shape = (frames, 112, 112, 3)
    assert _two_digits(count_params(net, 101, shape, live=True), 1e6) == params
    if gmacs:
        assert _two_digits(count_macs(net, shape, live=True), 1e9) == gmacs


@pytest.mark.parametrize("net", ["mc1", "mc2", "mc3", "mc4"])
def test_early_3d_nets_use_all_they_have(net):
    assert count_params(net, live=True) == count_params(net)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ZOO)), st.integers(2, 200), st.floats(-0.5, 0.5), st.sampled_from(["all", "live"]))
def test_no_other_width_is_nearer(net, width, offset, count):
    def params(k):
        return count_params(replace(ZOO[net], width=k), 101, live=count == "live")

    target = int(params(width) + offset * (params(width + 1) - params(width)))
    found = solve_width(net, target, count=count)
    distance = abs(params(found) - target)
    assert all(distance <= abs(params(k) - target) for k in {max(found - 1, 1), found + 1, width})
    if target < params(1):
        return
    largest = solve_width(net, target, rule="at_most", count=count)
    assert params(largest) <= target < params(largest + 1)
    assert solve_width(net, target + 1000, rule="at_most", count=count) >= largest


@pytest.mark.parametrize("net", [net for net in ZOO if net.startswith("mc") and net != "mc3_18"])
def test_published_widths_are_near_the_budget_of_sr18(net):
    # The paper's widths keep MC1 to MC5 within 3 % of SR18; the solver's stay nearer.
    target = count_params("sr18")
    solved = replace(ZOO[net], width=solve_width(net, target))
    assert abs(count_params(solved, 101) - target) <= abs(count_params(net) - target) <= 0.03 * target


def test_refusals():
    with pytest.raises(ValueError, match="at width 1 already"):
        solve_width("sr18", 10, rule="at_most")
    with pytest.raises(ValueError, match="target_params"):
        solve_width("sr18", 0)
    with pytest.raises(ValueError, match="too large"):
        solve_width("sr18", 10**30)
    with pytest.raises(ValueError, match="'nearest' or 'at_most'"):
        solve_width("sr18", 10**6, rule="closest")
    with pytest.raises(ValueError, match="one of them"):
        with_budget("sr18", width=3, target_params=4)
    with pytest.raises(ValueError, match="every size"):
        count_params("sr18", input_shape=(None, 112, 112, 3))


def test_counting_loads_no_tensorflow():
    code = (
        "import sys, keras_res3d; keras_res3d.count_params('sr18'); keras_res3d.solve_width('mc3', 10**7); "
        "sys.exit(bool({'tensorflow', 'keras', 'av', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
