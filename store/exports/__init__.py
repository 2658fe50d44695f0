"""Tables of what is stored as CSV and xlsx, made step by step so that nothing else waits for them.

start ──▶ a row: scope, columns, how many rows ┐
  └── audit ───────────────────────────────────┴ one commit
step ──▶ some pages of rows ──▶ appended, fsynced ──▶ the row: rows, bytes, place, step + 1 ──▶ the next step
last step ──▶ of a spreadsheet: packed ──▶ digest ──▶ renamed ──▶ the row: done
sweep ──▶ steps that were lost, files that have expired, what killed workers left
"""
