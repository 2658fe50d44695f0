"""What is stored, sent on to others.

reports, events, media (rows with growing ids) ──▶ a lane for each target ──▶ webhook, MQTT, another package's
                                                        │ taken
                                                        └──▶ the target's cursor moves on

Nothing is written twice: a cursor says up to which id a target has everything, and moves when the target has taken it. So a
notice may come twice, never not at all, and ingest knows nothing of whoever does not listen.
"""
