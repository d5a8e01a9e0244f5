"""The benchmark of scaling counts what a program exchanges, and its page says what was measured."""

import pytest

from benchmarks.scaling import collectives, paper, report

EXPORTED = """
    %5 = "stablehlo.all_reduce"(%4) <{channel_handle = #stablehlo.channel_handle<handle = 1, type = 0>}> ({
    ^bb0(%arg1: tensor<f32>, %arg2: tensor<f32>):
      %8 = stablehlo.add %arg1, %arg2 : tensor<f32>
      stablehlo.return %8 : tensor<f32>
    }) : (tensor<90x300xf32>) -> tensor<90x300xf32> loc(#loc566)
    %6 = "stablehlo.all_reduce"(%4) <{replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>}> ({
    ^bb0(%arg1: tensor<bf16>, %arg2: tensor<bf16>):
      stablehlo.return %arg1 : tensor<bf16>
    }) : (tensor<8xbf16>) -> tensor<8xbf16>
    %7 = "stablehlo.all_gather"(%6) <{all_gather_dim = 0 : i64}> : (tensor<4x2xf32>) -> tensor<16x2xf32>
"""
COMPILED = """
  %all-reduce = f32[] all-reduce(%add.1), channel_id=1, to_apply=%region
  %all-reduce.1 = (f32[300]{0}, f32[90,300]{1,0}, /*index=2*/bf16[4]{0}) all-reduce(%a, %b, %c), channel_id=2
  %gather = f64[8,2]{1,0} all-gather(%d), dimensions={0}
"""


def test_what_is_exchanged_is_counted():
    assert collectives.exchanged(EXPORTED) == {
        "all_reduce": (2, 4 * 90 * 300 + 2 * 8),
        "all_gather": (1, 4 * 16 * 2),
    }
    assert collectives.compiled_exchanged(COMPILED) == {
        "all_reduce": (2, 4 + 4 * 300 + 4 * 90 * 300 + 2 * 4),
        "all_gather": (1, 8 * 16),
    }


def test_on_paper_the_share_for_an_efficiency_has_it():
    chip = paper.ACCELERATORS[0]
    assert paper.seconds_of_exchange(2, 10**9, chip) == pytest.approx(10**9 / chip.link + 2 * paper.LATENCY)
    for number in (8, 1024):
        share = paper.share_for(0.9, number, 1e7, 10**6, chip)
        assert paper.efficiency(number, share, 1e7, 10**6, chip) >= 0.9
        assert paper.efficiency(number, share - 1, 1e7, 10**6, chip) < 0.9


def test_an_overhead_is_of_the_same_round_and_the_same_work():
    times = {"1": [1.0, 2.0, 4.0], "2": [1.1, 2.6, 4.8]}
    assert report.overhead("strong", times, "2") == pytest.approx(1.2)
    assert report.overhead("weak", times, "2") == pytest.approx(0.6)


def test_the_page_has_a_row_for_what_was_measured_alone(tmp_path):
    program = {
        "parameters": 1000,
        "operations": 128e6,
        "state_bytes": 16_000,
        "written_in_place_bytes": 16_000,
        "exchanged": {"all_reduce": [2, 4012]},
    }
    own = {
        "program": {"1": program, "4": program},
        "devices": {"strong": {"1": [0.01, 0.01], "2": [0.012, 0.012]}, "weak": {"1": [0.01], "2": [0.02]}},
        "checkpoints": {"with": [1.01], "without": [1.0], "waits": [0.005]},
    }
    report.write(tmp_path, {"taggers": {"mass": own}})
    page = (tmp_path / "scaling.md").read_text()
    assert "| mass | strong | 10.00 ms | 1.20 |  |  |  |  |" in page
    assert "| mass | 1,000 | 1.00 M | 4,012 B | 4,000 B | 2 all-reduce | 16,000 B | 100.0% |" in page
    assert "| mass | 1.00 s | 1.010 x | 5.0 ms, 0.50% of the epoch |" in page
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
