volley_fuzzer(spf spf_fuzz.cc DEPS volley_engine_preflight)
