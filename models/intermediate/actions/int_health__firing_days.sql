-- Each firing keeps its playbook quiet for the cooldown: which match fires depends on the one that
-- fired before it.
{{ customer_health.spaced_days(ref('int_health__firing_candidates')) }}
