volley_fuzzer(address address_fuzz.cc DEPS volley_engine_message)
