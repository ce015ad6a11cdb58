"""What the joules weigh in grams of CO2e and cost in money, with the factor and the price that were used on every row.

``intervals.charged`` charges the energy balance, ``requests`` carries it to requests, ``slots`` to slots of 10 s. The
formulas and what is not known are in ``docs/carbon.md``.
"""
