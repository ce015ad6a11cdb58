"""The frame around every view: title, filters, refresh, and the states in which there is nothing to draw."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import streamlit as st

from conventions.errors import StoreError
from dashboard import data
from dashboard.selection import REFRESH_S, Selection, sidebar

Body = Callable[[Selection], None]

FIRST_REQUEST: Final = """tokenjoule up      # collector, engines and gateway, in a terminal of its own
curl http://127.0.0.1:8080/v1/chat/completions \\
  -H 'Authorization: Bearer demo-reading-room' -H 'Content-Type: application/json' \\
  -d '{"model": "scout", "messages": [{"role": "user", "content": "is the archive open?"}]}'"""
VLLM: Final = """OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf \\
vllm serve MODEL --otlp-traces-endpoint {address}/v1/traces"""
SAMPLE: Final = """python -m dashboard.sample var/sample
TOKENJOULE_STORE=duckdb:///$PWD/var/sample python -m dashboard"""


def show(title: str, body: Body) -> None:
    """Draw a view, or say in words why it cannot be drawn and what to do."""
    st.title(title, anchor=False)
    try:
        selection = sidebar()
        newest = _newest(selection)
        if newest is None:
            _empty()
        else:
            _live(body, selection, newest)
    except StoreError as error:
        _unreachable(error)


def _newest(selection: Selection) -> datetime | None:
    """When the newest request started; of all times only where the range has none: that reads every day."""
    return data.seen(data.address(), selection.window()).latest or data.latest(data.address())


def _live(body: Body, selection: Selection, newest: datetime) -> None:
    """The view itself, run again by itself while refresh is on."""

    def guarded() -> None:
        try:
            if newest < selection.window().start and data.latest(data.address()) == newest:
                _nothing_in_range(selection, newest)
            else:
                with st.skeleton(height=320):
                    body(selection)
        except StoreError as error:
            _unreachable(error)

    st.fragment(guarded, run_every=REFRESH_S if selection.refresh else None)()


def _empty() -> None:
    st.info("**No requests yet.** The store answers, and nothing has been sent to it.", icon=":material/inbox:")
    st.markdown("Send the first one through the demo stack:")
    st.code(FIRST_REQUEST, language="bash")
    st.markdown("Or let a vLLM that runs already report here:")
    st.code(VLLM.format(address=data.address() if data.address().startswith("http") else data.DEFAULT_ADDRESS))
    st.markdown("Or look around in made-up days of a library's help desk:")
    st.code(SAMPLE, language="bash")
    st.fragment(_watch_for_the_first, run_every=REFRESH_S)()


def _watch_for_the_first() -> None:
    st.caption("This page looks for the first request by itself.")
    if data.latest(data.address()) is not None:
        st.rerun()


def _nothing_in_range(selection: Selection, newest: datetime) -> None:
    st.info(
        f"**No requests in the last {selection.words}.** The newest one started {newest:%Y-%m-%d %H:%M} UTC: "
        "choose a longer time range on the left.",
        icon=":material/history:",
    )


def _unreachable(error: StoreError) -> None:
    st.error(f"**Cannot read the store at `{data.address()}`.**", icon=":material/cloud_off:")
    st.text(str(error))
    st.markdown("Start the collector, or point the dashboard at another store with `TOKENJOULE_STORE`:")
    st.code("tokenjoule collect --data var/data --http 127.0.0.1:4318", language="bash")
    st.button("Try again", icon=":material/refresh:", key="retry")
