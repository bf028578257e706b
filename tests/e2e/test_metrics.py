"""`gpu-gate status --metrics`, as Prometheus' own parser for Python reads it."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from harness import ALICE, BOB, NEVER, SOURCE, uuid

MIB = 1024 * 1024


class Page:
    """What Prometheus makes of it: each sample by its name and labels."""

    def __init__(self, text):
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = {}
        for family in self.families:
            assert family.type == "gauge" and family.documentation, family
            for sample in family.samples:
                assert sample.timestamp is None, "the textfile collector takes no timestamps"
                key = (sample.name.removeprefix("gpu_gate_"), *sorted(sample.labels.items()))
                assert key not in self.samples, f"{key} is there twice"
                self.samples[key] = sample.value

    def __getitem__(self, name):
        """{labels: value} of one metric; labels as (name, value) pairs."""
        return {key[1:]: value for key, value in self.samples.items() if key[0] == name}


def page(box, status=0, **options):
    done = box.run("status", "--metrics", **options)
    assert done.status == status, done
    return Page(done.out)


def gpu(index, **more):
    labels = {"gpu": str(index), "uuid": uuid(index), "name": "NVIDIA L40S", **more}
    return tuple(sorted(labels.items()))


def user(name):
    return (("user", name),)


def test_gpus_claims_and_line_are_told(make_box):
    box = make_box(cards=3)
    box.set(1, util=97, used=1000)
    box.hold("--only", 0, user=ALICE)
    box.hold("--only", 2, "--share", 4607, user=BOB)
    for _ in range(2):
        box.wait_in_line(*NEVER, "-n", 2, "--only", "0,1", user=ALICE)
    box.wait_in_line(*NEVER, "-n", 1, "--only", 0, user=BOB)
    told = page(box)
    assert told["gpu_memory_total_bytes"] == {gpu(i): 46068 * MIB for i in range(3)}
    assert told["gpu_memory_used_bytes"][gpu(1)] == 1000 * MIB
    assert told["gpu_memory_free_bytes"][gpu(1)] == (46068 - 600 - 1000) * MIB
    assert told["gpu_utilization_ratio"][gpu(1)] == 0.97
    assert told["gpu_healthy"] == {gpu(i): 1 for i in range(3)}
    assert told["gpu_claimed"] == {gpu(0, user=ALICE.name): 1, gpu(2, user=BOB.name): 0.1}
    assert told["claimed_gpus"] == {user(ALICE.name): 1, user(BOB.name): 0.1}
    assert told["waiting_requests"] == {user(ALICE.name): 2, user(BOB.name): 1}
    assert told["waiting_gpus"] == {user(ALICE.name): 4, user(BOB.name): 1}
    assert set(told["longest_wait_seconds"]) == {user(ALICE.name), user(BOB.name)}


def test_what_is_unknown_has_no_line(make_box):
    box = make_box(cards=4)
    box.set(0, util_error=3)
    box.set(1, lost=1)
    box.set(2, memory_error=999, memory_v2_error=999)
    told = page(box)
    assert set(told["gpu_utilization_ratio"]) == {gpu(3)}
    assert set(told["gpu_memory_total_bytes"]) == set(told["gpu_memory_free_bytes"]) == {gpu(0), gpu(3)}
    healthy = {dict(labels)["gpu"]: value for labels, value in told["gpu_healthy"].items()}
    assert healthy == {"0": 1, "1": 0, "2": 0, "3": 1}
    assert not any(told[name] for name in ("gpu_claimed", "claimed_gpus", "waiting_requests", "longest_wait_seconds"))
    assert "nan" not in told.text.lower()


def test_without_a_driver_claims_and_line_come_and_then_exit_status_4(make_box):
    box = make_box(cards=1)
    box.hold(user=ALICE)
    box.wait_in_line(*NEVER, user=BOB)
    told = page(box, status=4, env={"GPU_GATE_NVML": "/nonexistent/libnvidia-ml.so.1"})
    assert told["gpu_claimed"] == {(("user", ALICE.name), ("uuid", uuid(0))): 1}
    assert told["claimed_gpus"] == {user(ALICE.name): 1}
    assert told["waiting_requests"] == {user(BOB.name): 1}
    assert not told["gpu_healthy"] and not told["gpu_memory_total_bytes"]


def test_names_of_others_stay_inside_their_label(make_box):
    box = make_box(cards=1)
    hostile = 'A\\ } 1 gpu_gate_gpu_healthy{} 7'
    box.set(0, name=f'"{hostile}"')
    told = page(box)
    assert [dict(labels)["name"].replace("\\\\", "\\") for labels in told["gpu_healthy"]] == [hostile]
    assert list(told["gpu_healthy"].values()) == [1]


def test_metrics_and_json_exclude_each_other(box):
    done = box.run("status", "--metrics", "--json")
    assert done.status == 2 and "leave out --json or --metrics" in done.err, done


def test_the_dashboard_asks_for_all_metrics_there_are_and_no_others(make_box):
    box = make_box(cards=1)
    box.set(0, util=1)
    box.hold(user=ALICE)
    box.wait_in_line(*NEVER, user=BOB)
    told = {family.name for family in page(box).families}
    dashboard = json.loads((SOURCE / "docs/grafana.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"]
             for name in re.findall(r"gpu_gate_\w+", target["expr"])}
    assert asked == told
