"""The words every room shares: names, units, plug-in lookup, settings, errors and logs.

A leaf: it imports the standard library only, so that every other package may import it.
"""
