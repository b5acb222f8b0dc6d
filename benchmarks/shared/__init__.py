"""What several benchmarks need: rows of data sets that are not here, the machine's card, commands, tables."""
