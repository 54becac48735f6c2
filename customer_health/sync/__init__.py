"""Scores in the CRM: what was published, sent to where people work, and remembered.

| module | what it does |
|---|---|
| `config` | reads `sync.yml` |
| `mapping` | turns a row of the publication into the fields of a CRM record, and into a hash |
| `source` | reads the rows from what readers have |
| `ledger` | remembers what each destination has confirmed |
| `plan` | compares the two: what is new, changed, to be cleared |
| `answers` | what a destination says about records |
| `transport` | HTTP with waits, retries and time limits |
| `hubspot`, `salesforce`, `webhook`, `drop` | one destination each |
| `signing` | how receivers verify what the webhook sends |
| `run` | one sync: plan, send, acknowledge |
| `status` | what each destination has, and what waits |

docs/sync.md is the manual.
"""
