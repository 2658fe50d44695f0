"""The writer's part for rules: what a batch's reports make of them, in the transaction that stores the reports.

part by part, while the database is at the one before:  report ─▶ RuleSet ─▶ rules it may make hold: mostly none
when states have been brought forward:                  how devices stood by rules ─┐
                                                        those rules, and these ─────┴─▶ course ─▶ alarms, events, standings

Only what is not older than all that the device has sent counts, and is believed: what comes late is history. Devices of which
there is neither a standing nor a rule that may hold cost nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from store.alarms import DeviceAlarm
from store.events import EventRow
from store.models import EventKind
from store.rows import PreparedMessage, PreparedReport
from store.rules.life import Deed, Outcome, Standing, Told, course, is_in_doubt
from store.rules.plans import seen
from store.rules.rulebook import MOST_STANDINGS, KnownRules, standings_of
from store.rules.truth import CompiledRule, Seen
from store.states import DeviceState, is_believed

if TYPE_CHECKING:  # the writer, which is behind these tables, imports this module
    from store.bulk.tables import Tables

Rules = dict[int, CompiledRule]


class Watch:
    """What is noticed of a batch's reports while they are prepared."""

    def __init__(self, known: KnownRules, devices: Collection[int]) -> None:
        self.known = known
        self.sets = known.sets(devices)
        self.concerned: dict[int, Rules] = {}
        """By device, the rules that may hold by one of its reports."""

    def notice(self, device: int, found: Iterable[CompiledRule]) -> None:
        """Of a report that may make rules hold, which these are."""
        rules = self.concerned.setdefault(device, {})
        for rule in found:
            rules[rule.id] = rule


class _Device(NamedTuple):
    """A device of which something may come."""

    id: int
    rules: Rules
    standings: dict[int, Standing]
    reports: list[PreparedReport]
    """Those that count, in the order of their time."""
    told: list[Seen]
    """What they tell."""
    is_lone: bool


def bring_rules_forward(
    tables: Tables,
    watch: Watch,
    devices: Mapping[int, Sequence[PreparedMessage]],
    lone: Collection[int],
    before: Mapping[int, DeviceState],
    now: datetime,
) -> None:
    """Alarms by rules. ``before`` are the states, as they were before the batch, of devices that are not ``lone``."""
    standings: dict[int, dict[int, Standing]] = defaultdict(dict)
    for standing in tables.find_standings(devices):
        standings[standing.device_id][standing.rule_id] = standing
    if not standings and not watch.concerned:
        return
    outcomes: list[Outcome] = []
    asked: list[_Device] = []
    for id in {**watch.concerned, **standings}:
        left = standings[id]
        if left:
            outcomes += _passed_over(watch, id, left, devices[id])
        reports = _news([report for message in devices[id] for report in message.reports], before.get(id), id in lone)
        rules = {rule: watch.sets[id].rules[rule] for rule in left} | watch.concerned.get(id, {})
        if rules and reports:
            asked.append(_Device(id, rules, left, reports, list(map(seen, reports)), id in lone))
    settle(tables, watch.known, outcomes + _courses(tables, asked, before), now)


def _passed_over(watch: Watch, device: int, standings: dict[int, Standing], messages: Sequence[PreparedMessage]) -> list[Outcome]:
    """Take away standings that no report is held against: by rules that have changed, that are not the device's any more, and
    those by silence, which end whatever came.
    """
    rules = watch.sets[device].rules
    odd = [each for each in standings.values() if not _is_usual(each, rules.get(each.rule_id))]
    if not odd:
        return []
    heard = max(message.received_at for message in messages)
    ended = []
    for standing in odd:
        del standings[standing.rule_id]
        rule = rules.get(standing.rule_id)
        if rule is not None and standing.rule_version == rule.version:
            assert rule.silence is not None, "else it is a usual one"
            if heard > standing.since - rule.silence:
                at = max(heard, standing.since)
                ended.append(Outcome(device, rule.id, rule.kind, rule.severity, standing, None, Deed.END, at))
        elif standing.rule_version <= watch.known.versions.get(standing.rule_id, 0):
            ended.append(gone(standing, watch.known, heard))
        else:
            # Of a worker that has begun later, and knows more of the rule.
            watch.concerned.get(device, {}).pop(standing.rule_id, None)
    return ended


def _is_usual(standing: Standing, rule: CompiledRule | None) -> bool:
    return rule is not None and standing.rule_version == rule.version and rule.silence is None


def gone(standing: Standing, known: KnownRules, at: datetime) -> Outcome:
    """That a device does not stand by a rule any more, whatever it reports."""
    kind = known.kinds.get(standing.rule_id, "")
    return Outcome(standing.device_id, standing.rule_id, kind, "", standing, None, Deed.LEAVE if standing.has_alarm else None, at)


def _news(reports: list[PreparedReport], state: DeviceState | None, is_lone: bool) -> list[PreparedReport]:
    """Reports that count, in the order of their time. Of one that is alone it is asked only if something comes of it."""
    if is_lone:
        return [report for report in reports if is_believed(report)]
    believed = sorted((report for report in reports if is_believed(report)), key=_at)
    time, last_seen = (state.time, state.last_seen) if state else (None, None)
    news = []
    for report in believed:
        newest = time if report.is_dated else last_seen
        if newest is None or report.row.time >= newest:
            news.append(report)
            if report.is_dated:
                time = report.row.time
    return news


def _at(report: PreparedReport) -> datetime:
    return report.row.time


def _courses(tables: Tables, devices: Sequence[_Device], before: Mapping[int, DeviceState]) -> list[Outcome]:
    """What comes of the reports of devices."""
    doubtful = [device for device in devices if _is_in_doubt(device)]
    alone = [device.id for device in doubtful if device.is_lone]
    earlier = {state.device_id: seen_in(state) for state in tables.find_states(alone)} if alone else {}
    earlier |= {device.id: seen_in(before[device.id]) for device in doubtful if device.id in before}
    outcomes: list[Outcome] = []
    lone: dict[int, PreparedReport] = {}
    for device in devices:
        told = _told(device, earlier.get(device.id))
        if found := list(course(device.id, device.rules.values(), device.standings, told)):
            outcomes += found
            if device.is_lone:
                lone[device.id] = device.reports[0]
    times = tables.find_times(lone) if lone else {}
    late = {id for id, report in lone.items() if _is_late(report, *times.get(id, (None, None)))}
    return [outcome for outcome in outcomes if outcome.device not in late]


def _is_in_doubt(device: _Device) -> bool:
    return any(
        is_in_doubt(rule, device.standings.get(rule.id), told)
        for rule in device.rules.values()
        if len(rule.channels) + rule.has_place > 1
        for told in device.told
    )


def _told(device: _Device, earlier: Seen | None) -> Iterable[Told]:
    for report, told in zip(device.reports, device.told, strict=True):
        yield Told(report.row.time, told, earlier)
        if earlier is not None:
            earlier = told.behind(earlier)


def _is_late(report: PreparedReport, time: datetime | None, last_seen: datetime | None) -> bool:
    """Whether a newer report is known, by when a device's state says that the newest was."""
    newest = time if report.is_dated else last_seen
    return newest is not None and report.row.time < newest


def seen_in(state: DeviceState) -> Seen:
    """What a device told last of each channel, and where it was."""
    place = None if state.latitude is None or state.longitude is None else (state.latitude, state.longitude)
    measures = {"altitude_m": state.altitude_m, "speed_kmh": state.speed_kmh, "course_deg": state.course_deg}
    return Seen({**{name: value for name, value in measures.items() if value is not None}, **state.values}, place)


def settle(tables: Tables, known: KnownRules, outcomes: Iterable[Outcome], now: datetime) -> int:
    """Write what comes of rules: alarms, their events, and how devices stand; how many alarms were opened.

    States of the devices are locked. A rule that has as many standings as it may have gets no more.
    """
    taken = _with_room(known, outcomes)
    if not taken:
        return 0
    told = list(dict.fromkeys((outcome.device, outcome.kind) for outcome in taken if outcome.deed))
    alarms = {(alarm.device_id, alarm.kind): alarm for alarm in tables.find_alarms_of_rules(told)} if told else {}
    changed: dict[tuple[int, str], DeviceAlarm] = {}
    events: list[EventRow] = []
    final: dict[tuple[int, int], Standing | None] = {}
    for outcome in taken:
        key = (outcome.device, outcome.kind)
        standing = outcome.after
        if outcome.deed is not None:
            alarm = alarms.setdefault(key, DeviceAlarm(*key))
            is_done, event = _do(outcome, alarm)
            if is_done:
                changed[key] = alarm
            elif outcome.deed in (Deed.OPEN, Deed.REPEAT):
                standing = None
            if event is not None:
                events.append(EventRow(outcome.device, outcome.at, event, alarm.kind))
        final[outcome.device, outcome.rule] = standing
    if changed:
        tables.write_alarms(list(changed.values()))
    if events:
        tables.insert_events(events, now)
    tables.write_standings([standing for standing in final.values() if standing], [key for key, left in final.items() if not left])
    return sum(event.kind != EventKind.ALARM_ENDED for event in events)


def _do(outcome: Outcome, alarm: DeviceAlarm) -> tuple[bool, EventKind | None]:
    """Whether an alarm changed, and what happened to it. What was ended at a time does not begin by a report of that time."""
    match outcome.deed:
        case Deed.OPEN:
            if alarm.standing_at is not None and outcome.at <= alarm.standing_at:
                return False, None
            return True, alarm.open_by_rule(outcome.at, outcome.place, outcome.severity)
        case Deed.REPEAT:
            if alarm.is_ongoing:
                alarm.count(outcome.at, outcome.place)
            return alarm.is_ongoing, None
    if not alarm.is_ongoing:
        return False, None
    # Our clock, which one that is left goes by, is not to be held against the device's.
    alarm.end_by_rule(outcome.at if outcome.deed is Deed.END else None)
    return True, EventKind.ALARM_ENDED


def _with_room(known: KnownRules, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """All but what would be standings beyond those that a rule may have."""
    room: dict[int, int] = {}
    refused: set[tuple[int, int]] = set()
    taken = []
    for outcome in outcomes:
        rule, key = outcome.rule, (outcome.device, outcome.rule)
        if outcome.before is None:
            refused.discard(key)
            if rule not in room:
                room[rule] = MOST_STANDINGS - standings_of(rule)
            if room[rule] <= 0:
                refused.add(key)
                known.full(rule)
            room[rule] -= 1
        if key not in refused:
            taken.append(outcome)
    return taken
