"""What heteroscope costs, side by side with the plain way of doing the same: `make bench`.

Every figure is a quotient of two times (or two other quantities) that were measured in the same run,
one after the other in turn, so that a slow minute of the machine falls on both.
"""
