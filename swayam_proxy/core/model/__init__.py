"""The mathematics: from measurements to the number of backends that a promise needs. Pure functions."""
