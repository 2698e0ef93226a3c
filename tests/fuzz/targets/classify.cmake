volley_fuzzer(classify classify_fuzz.cc DEPS volley_engine_bounce)
