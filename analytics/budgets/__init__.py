"""Budgets of tokens, joules and errors: how much is spent, what the pace allows, when it runs out.

A kind of budget is one ``.sql`` file in this folder.
"""

from analytics.budgets.budget import Budget
from analytics.budgets.spending import Spending, contributors, spending
from analytics.budgets.status import BudgetStatus, burn, burn_rate, status

__all__ = ["Budget", "BudgetStatus", "Spending", "burn", "burn_rate", "contributors", "spending", "status"]
