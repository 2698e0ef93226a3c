volley_fuzzer(eml eml_fuzz.cc DEPS volley_engine_eml)
