volley_fuzzer(composer composer_fuzz.cc DEPS volley_engine_message)
