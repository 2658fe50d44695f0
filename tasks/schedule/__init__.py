"""What is done now and then: which task when, asked for by ``celery -A tasks beat``.

defaults ── rows that are missing ──▶ database ◀── iotgw schedule ── an operator
                                        │ every few seconds: has a row changed?
beat ── it is due ── claims this time in the row ──▶ broker ──▶ one worker
"""
