"""Stock vLLM's recorded Prometheus page becomes the engine counters."""

from pathlib import Path

from collector.sampling.reading import found as read_page
from collector.sampling.reading import named
from collector.scrapes import dcgm, vllm
from conventions import instruments
from conventions.instruments import Instrument

PAGE = (Path(__file__).parent / "vllm-0.32-metrics.txt").read_text(encoding="utf-8")

DCGM = (Path(__file__).parent / "dcgm-metrics.txt").read_text(encoding="utf-8")


def values(page: str) -> dict[Instrument, float]:
    return {one.instrument: one.value for one in read_page(page, vllm.READINGS)}


def test_the_page_gives_steps_tokens_and_load() -> None:
    found = {instrument.name: value for instrument, value in values(PAGE).items()}
    assert found == {
        instruments.ENGINE_STEPS.name: 168.0,
        instruments.ENGINE_PREFILL_TOKENS.name: 36.0,
        instruments.ENGINE_GENERATED_TOKENS.name: 168.0,  # 8 + 16 + … + 48
        instruments.ENGINE_ABORTED.name: 0.0,
        instruments.ENGINE_RUNNING.name: 0.0,
        instruments.ENGINE_WAITING.name: 0.0,
        instruments.ENGINE_KV_USAGE.name: 0.0,
        instruments.ENGINE_PREFIX_QUERIES.name: 36.0,
        instruments.ENGINE_PREFIX_HITS.name: 0.0,
        instruments.ENGINE_PREEMPTIONS.name: 0.0,
    }


def test_series_of_several_engine_cores_are_summed_and_shares_averaged() -> None:
    page = """# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{engine="0"} 10.0
vllm:generation_tokens_total{engine="1"} 5.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0"} 0.2
vllm:kv_cache_usage_perc{engine="1"} 0.4
"""
    found = values(page)
    assert found[instruments.ENGINE_GENERATED_TOKENS] == 15.0
    assert abs(found[instruments.ENGINE_KV_USAGE] - 0.3) < 1e-12


def test_prompt_tokens_without_their_source_stand_in_for_computed_ones() -> None:
    page = '# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{engine="0"} 7.0\n'
    assert values(page)[instruments.ENGINE_PREFILL_TOKENS] == 7.0


def test_a_page_of_dcgm_gives_joules_by_board_and_a_board_under_mig_once() -> None:
    told = [(one.instrument.name, one.device and one.device.id, one.value) for one in read_page(DCGM, dcgm.READINGS)]
    assert told == [
        ("hw.energy", "GPU-aaaa", 1_500_000.25),
        ("hw.energy", "GPU-bbbb", 2_000_000.0),
        ("hw.power", "GPU-aaaa", 310.5),
        ("hw.power", "GPU-bbbb", 95.0),
    ]


def test_a_table_of_names_reads_any_page_with_the_kinds_it_states() -> None:
    readings = named(PAGE, {"vllm:num_requests_waiting": "my.queue", "vllm:num_preemptions_total": "my.preemptions"})
    told = {one.instrument.name: one.instrument.kind for one in read_page(PAGE, readings)}
    assert told == {"my.queue": "gauge", "my.preemptions": "counter"}
