"""What joules cost: carbon intensities and prices for the minutes that are settled."""
