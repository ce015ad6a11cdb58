"""CodeCarbon: a task per window, GPU energy only. One process serves one board, as its figures are sums over boards."""

import json

from readings import Readings, asked, late, moments  # beside this file

JOULES_PER_KWH = 3.6e6


def main() -> None:
    """Print the spans of the board."""
    from codecarbon import OfflineEmissionsTracker

    epoch_s, windows = asked()
    readings = Readings()
    board = windows[0][0]
    tracker = OfflineEmissionsTracker(
        country_iso_code="FRA", gpu_ids=[board], save_to_file=False, log_level="critical", allow_multiple_runs=True
    )
    tracker.start_task("the first takes seconds")
    tracker.stop_task("the first takes seconds")
    if told := late(windows, epoch_s):
        print(json.dumps({board: told}))
        return
    spans = []
    start_s = 0.0
    for is_end, window in moments(windows, epoch_s):
        if is_end:
            used, end_s = readings.around(lambda: tracker.stop_task(str(window)))  # noqa: B023  # called at once
            spans.append([start_s - epoch_s, end_s - epoch_s, used.gpu_energy * JOULES_PER_KWH])
        else:
            _, start_s = readings.around(lambda: tracker.start_task(str(window)))  # noqa: B023
    print(json.dumps({board: spans}))


if __name__ == "__main__":
    main()
