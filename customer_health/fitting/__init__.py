"""Numbers of the policy that come from outcomes, with a person in the loop.

`train` fits the churn model, `tune` suggests weights, `what_if` tries weights that nobody saved.
`observations` reads what they look back on, `challenger` writes what they found into a challenger
version, with the evidence beside it. The champion is never written.
"""
