volley_fuzzer(dmarc dmarc_fuzz.cc DEPS volley_engine_preflight)
