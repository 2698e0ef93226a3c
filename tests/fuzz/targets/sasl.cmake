volley_fuzzer(sasl sasl_fuzz.cc DEPS volley_engine_sasl)
