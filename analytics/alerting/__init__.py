"""Multi-window burn-rate rules over budgets: what fires, what is fine, and what cannot be told."""

from analytics.alerting.evaluation import Finding, State, evaluate, exit_code
from analytics.alerting.loading import load
from analytics.alerting.rule import Rule
from analytics.alerting.summary import summary_text

__all__ = ["Finding", "Rule", "State", "evaluate", "exit_code", "load", "summary_text"]
