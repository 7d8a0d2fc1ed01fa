"""The commands, as people and scripts call them: output, JSON, exit codes."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.floors import PlantFolder, RunningFloor, wait_for


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_from_a_fresh_plant_to_a_baseline_to_an_alarm_and_back(plant: PlantFolder, floor: RunningFloor) -> None:
    assert plant.asbuilt("poll").code == 0
    assert plant.asbuilt("check").code == 3  # nobody has approved anything
    captured = plant.asbuilt("commission", "--stage", "fat", "--captures", "2", "--every", "100ms", "--json")
    assert captured.code == 0
    assert {baseline["state"] for baseline in captured.json["baselines"]} == {"proposed"}
    assert captured.json["varying"] == []
    approved = plant.asbuilt("baseline", "approve", "*", "--by", "Ada", "--reason", "FAT 17", "--json")
    assert {(each["approved_by"], each["stage"]) for each in approved.json["baselines"]} == {("Ada", "fat")}
    assert plant.asbuilt("check").code == 0

    floor.apply("line1/filler", set={"limit": 14.0})
    checked = plant.asbuilt("check", "--json")
    assert checked.code == 1
    filler = checked.asset("line1/filler")
    assert filler["verdict"] == "drift"
    assert filler["sent"] == {"connections": 1, "requests": 3}
    (deviation,) = filler["deviations"]
    assert (deviation["item"], deviation["kind"]) == ("item.limit", "changed")
    assert (deviation["approved"], deviation["observed"]) == (12.5, 14.0)
    assert (deviation["techniques"], deviation["suppressed_by"]) == (["T0836"], None)
    assert checked.asset("line2/filler")["verdict"] == "match"

    (alert,) = plant.asbuilt("alerts", "list", "--json").json["alerts"]
    assert (alert["asset"], alert["item"], alert["state"]) == ("line1/filler", "item.limit", "UNACK")
    acknowledged = plant.asbuilt("alerts", "ack", str(alert["id"]), "--by", "Bo", "--reason", "seen", "--json")
    assert acknowledged.json["alerts"][0]["state"] == "ACKED"
    assert acknowledged.json["alerts"][0]["acknowledged_by"] == "Bo"

    floor.apply("line1/filler", set={"limit": 12.5})
    assert plant.asbuilt("check").code == 0
    assert plant.asbuilt("alerts", "list", "--json").json["alerts"] == []
    assert plant.asbuilt("alerts", "list", "--all", "--json").json["alerts"][0]["state"] == "NORMAL"
    assert plant.asbuilt("verify", "--json").json["ok"]


def test_a_downgrade_is_told_from_an_upgrade(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    floor.apply("line1/filler", identity={"software_revision": "2.3.9"})
    floor.apply("line2/filler", identity={"software_revision": "2.10.0"})
    checked = plant.asbuilt("check", "--json")
    (down,), (up,) = (checked.asset(name)["deviations"] for name in ("line1/filler", "line2/filler"))
    assert (down["direction"], down["severity"], down["techniques"]) == ("downgrade", "critical", ["T0857"])
    assert (up["direction"], up["severity"], up["techniques"]) == ("upgrade", "high", ["T0857"])
    assert "DOWNGRADED from 2.4.1 to 2.3.9" in plant.asbuilt("check").out


def test_an_unreachable_device_is_said_and_never_stops_its_neighbour(floor: RunningFloor, tmp_path: Path) -> None:
    gone = f"modbus://127.0.0.1:{free_port()}/1"
    plant = PlantFolder(tmp_path, {"gone": gone, "there": floor.plcs["line1/filler"].address})
    checked = plant.asbuilt("check", "--json")
    assert checked.code == 3
    assert checked.asset("gone")["error"]["kind"] == "unreachable"
    assert checked.asset("gone")["verdict"] == "never-seen"
    assert checked.asset("there")["items"]["item.limit"] == 12.5
    assert plant.asbuilt("poll").code == 3
    assert plant.asbuilt("baseline", "propose", "gone").code == 3


def test_silence_after_approval_is_no_longer_observable_and_no_deviation(
    plant: PlantFolder, floor: RunningFloor
) -> None:
    plant.commissioned()
    floor.apply("line1/filler", behave="silent")
    checked = plant.asbuilt("check", "line1/filler", "--json")
    assert checked.code == 3
    filler = checked.asset("line1/filler")
    assert (filler["verdict"], filler["deviations"]) == ("no-longer-observable", [])
    assert "item.limit" in filler["unread"]
    (listed,) = [each for each in plant.asbuilt("assets", "--json").json["assets"] if each["asset"] == "line1/filler"]
    assert listed["verdict"] == "no-longer-observable"
    assert listed["outage"]["kind"] == "unreachable"
    assert plant.asbuilt("alerts", "list", "--json").json["alerts"] == []


def test_what_cannot_be_read_completely_is_proposed_only_on_demand(plant: PlantFolder, floor: RunningFloor) -> None:
    floor.apply("line1/filler", remove=["limit"])
    refused = plant.asbuilt("baseline", "propose", "line1/filler", "--json")
    assert refused.code == 3
    assert "--incomplete" in refused.json["refused"][0]["why"]
    assert plant.asbuilt("baseline", "propose", "line1/filler", "--incomplete").code == 0
    assert plant.asbuilt("baseline", "approve", "line1/filler", "--reason", "as it is").code == 0
    assert plant.asbuilt("check", "line1/filler").code == 3  # what was never seen is not fine
    floor.apply("line1/filler", set={"limit": 12.5})
    seen = plant.asbuilt("check", "line1/filler", "--json")
    assert (seen.code, seen.asset("line1/filler")["verdict"]) == (3, "no-baseline")  # and now nobody has approved it


def test_an_item_that_the_profile_gains_is_unapproved_and_no_storm(plant: PlantFolder) -> None:
    plant.commissioned()
    profile = plant.folder / "p9.toml"
    profile.write_text(profile.read_text() + '[item.half]\ntable = "holding"\naddress = 101\ntype = "uint16"\n')
    checked = plant.asbuilt("check", "--json")
    assert checked.code == 3
    assert {asset["verdict"] for asset in checked.json["assets"]} == {"no-baseline"}
    assert all(asset["deviations"] == [] for asset in checked.json["assets"])


def test_a_value_within_its_tolerance_is_a_match(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.commissioned()
    floor.apply("line1/filler", set={"limit": 12.53})
    assert plant.asbuilt("check", "line1/filler").code == 0
    floor.apply("line1/filler", set={"limit": 12.57})
    assert plant.asbuilt("check", "line1/filler").code == 1


def test_commission_shows_what_varies_by_itself(plant: PlantFolder, floor: RunningFloor) -> None:
    capturing = plant.meanwhile("commission", "line1/filler", "--captures", "2", "--every", "2s", "--json")
    seen = floor.plcs["line1/filler"].seen
    wait_for(lambda: seen.connections == 1 and not seen.open, "the first capture")
    floor.apply("line1/filler", set={"limit": 13.0})
    assert '"item": "item.limit"' in capturing.ended().out


def test_the_daemon_is_not_needed_to_see_a_stage_differ_from_another(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.asbuilt("baseline", "propose", "--stage", "fat")
    plant.asbuilt("baseline", "approve", "*", "--reason", "FAT")
    floor.apply("line2/filler", set={"mode": 7})
    plant.asbuilt("baseline", "propose", "--stage", "sat")
    differs = plant.asbuilt("baseline", "diff", "fat", "sat", "--json")
    assert differs.code == 1
    (row,) = differs.json["deviations"]
    assert (row["asset"], row["item"], row["approved"], row["observed"]) == (
        "line2/filler",
        "item.mode",
        "RUN",
        "PROGRAM",
    )
    assert plant.asbuilt("baseline", "diff", "line1/filler@fat", "line1/filler@sat").code == 0
    digests = [each["digest"] for each in plant.asbuilt("baseline", "list", "line2/filler", "--json").json["baselines"]]
    assert plant.asbuilt("baseline", "diff", digests[0][:10], digests[1]).code == 1


def test_an_approval_of_what_has_moved_on_is_refused(plant: PlantFolder, floor: RunningFloor) -> None:
    first = plant.asbuilt("baseline", "propose", "line1/filler", "--json").json["baselines"][0]["digest"]
    floor.apply("line1/filler", set={"limit": 14.0})
    second = plant.asbuilt("baseline", "propose", "line1/filler", "--json").json["baselines"][0]["digest"]
    refused = plant.asbuilt("baseline", "approve", "line1/filler", "--reason", "r", "--digest", first)
    assert (refused.code, second in refused.err) == (2, True)
    assert plant.asbuilt("baseline", "approve", "line1/filler", "--reason", "r", "--digest", second).code == 0


def test_of_two_approvals_at_once_one_wins_and_the_other_is_told(plant: PlantFolder) -> None:
    plant.asbuilt("baseline", "propose", "line1/filler")
    words = ("baseline", "approve", "line1/filler", "--reason", "r", "--by")
    approving = [plant.meanwhile(*words, name) for name in ("Ada", "Bo")]
    ended = sorted((done.code, done.err) for done in (each.ended() for each in approving))
    assert [code for code, _ in ended] == [0, 2]
    assert "no open proposal" in ended[1][1]


def test_a_safety_controller_is_left_alone_unless_its_owner_says_so(floor: RunningFloor, tmp_path: Path) -> None:
    address = floor.plcs["line1/filler"].address
    plant = PlantFolder(tmp_path, {"safe": address}, more='criticality = "safety"\n')
    checked = plant.asbuilt("check", "--json")
    assert (checked.code, checked.asset("safe")["error"]["kind"]) == (3, "refused")
    assert floor.plcs["line1/filler"].seen.connections == 0
    allowed = PlantFolder(tmp_path, {"safe": address}, more='criticality = "safety"\nallow_safety = true\n')
    assert allowed.asbuilt("poll").code == 0


def test_identify_needs_no_plant(floor: RunningFloor, tmp_path: Path) -> None:
    nowhere = PlantFolder(tmp_path, {})
    nowhere.file.unlink()
    there = floor.plcs["line1/filler"].address
    found = nowhere.asbuilt("identify", there, "--json")
    assert (found.code, found.asset(there)["identity"]["product_code"]) == (0, "P-9")
    assert found.asset(there)["identity"]["serial_number"] is None
    assert nowhere.asbuilt("identify", there, f"modbus://127.0.0.1:{free_port()}").code == 3
    assert nowhere.asbuilt("identify", "http://plc").code == 2


WRONG_CALLS = [
    (["check", "line9/filler"], "names no asset line9/filler"),
    (["baseline", "approve", "line1/filler", "--reason", "r"], "no open proposal"),
    (["baseline", "show", "line1/filler"], "no baseline is named"),
    (["baseline", "diff", "fat", "sat"], "no asset has a baseline of stage fat"),
    (["alerts", "ack", "7"], "there is no alarm 7"),
    (["alerts", "shelve", "7", "--until", "tomorrow", "--reason", "r"], "is no time"),
    (["commission", "--every", "soon"], "a duration is written"),
    (["check", "--plant", "missing.toml"], "asbuilt init"),
    (["nonsense"], "No such command"),
]


@pytest.mark.parametrize(("words", "said"), WRONG_CALLS, ids=[" ".join(words) for words, _ in WRONG_CALLS])
def test_a_wrong_call_is_a_sentence_and_exit_code_2(words: list[str], said: str, tmp_path: Path) -> None:
    plant = PlantFolder(tmp_path, {"line1/filler": "modbus://127.0.0.1:1/1"})
    done = plant.asbuilt(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_every_fault_of_plant_toml_is_said_in_one_go(tmp_path: Path) -> None:
    plant = PlantFolder(tmp_path, {"a": "modbus://10.0.0.1/1", "b": "modbus://10.0.0.1:502/1", "c": "ftp://x"})
    plant.file.write_text(plant.file.read_text() + 'colour = "red"\n[segment.a]\ninterface = "eth1"\n')
    done = plant.asbuilt("check")
    assert done.code == 2
    for fault in (
        "asset.b.address: asset.a has",
        "asset.c.address: 'ftp://x'",
        "asset.c.colour: unknown",
        "segment.a:",
    ):
        assert fault in done.err


def test_init_writes_a_plant_that_is_right_and_overwrites_nothing(tmp_path: Path) -> None:
    plant = PlantFolder(tmp_path, {})
    assert plant.asbuilt("init").code == 2
    plant.file.unlink()
    assert plant.asbuilt("init").code == 0
    assert plant.asbuilt("assets", "--json").json == {"assets": []}
    uncommented = plant.file.read_text().replace("# [", "[").replace('# profile = "auto" ', 'profile = "auto" ')
    assert "[asset." in uncommented


def test_what_a_device_says_of_itself_is_data(plant: PlantFolder, floor: RunningFloor) -> None:
    floor.apply("line1/filler", identity={"product_code": "[red]P\x1b[2J\x07[/red]"})
    assert (
        plant.asbuilt("poll", "--json").asset("line1/filler")["identity"]["product_code"] == "[red]P\x1b[2J\x07[/red]"
    )
    for words in (["poll"], ["assets"], ["identify", floor.plcs["line1/filler"].address]):
        said = plant.asbuilt(*words).out
        assert "\x1b[2J" not in said
        assert "[red]P" in said


def test_a_pattern_approves_what_is_proposed_and_a_name_must_be(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.asbuilt("baseline", "propose", "line1/filler")
    assert plant.asbuilt("baseline", "approve", "line1/filler", "line2/filler", "--reason", "r").code == 2
    some = plant.asbuilt("baseline", "approve", "line*", "--reason", "r", "--json")
    assert (some.code, [each["asset"] for each in some.json["baselines"]]) == (0, ["line1/filler"])
    assert "line2/filler: no open proposal" in some.err
    assert plant.asbuilt("baseline", "approve", "line*", "--reason", "r").code == 2


def test_a_console_that_knows_few_letters_gets_them_escaped(plant: PlantFolder) -> None:
    ascii_only = {**plant.environment, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(plant.command("assets"), env=ascii_only, capture_output=True, text=True)
    assert (done.returncode, "\\u2013" in done.stdout) == (0, True)
