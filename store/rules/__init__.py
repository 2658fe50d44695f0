"""Rules: what operators want to be told of, beside what devices themselves call alarms.

rule as JSON ─▶ declaration: checked ─▶ truth: plain Python ─▶ plans: which rules a report can concern
                                                                  │
reports of a batch ── rulebook: the rules of each device ─────────┴─▶ life: pending, active, clearing ─▶ alarms, events

Limits of channels (:mod:`store.limits`) mark values on pages; only a rule opens an alarm.
"""
