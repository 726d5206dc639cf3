"""How often the tests err, measured on simulated studies whose truth is known: `make calibrate`."""
