volley_fuzzer(template template_fuzz.cc DEPS volley_engine_message)
