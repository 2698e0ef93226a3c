volley_fuzzer(tls_engine tls_engine_fuzz.cc DEPS volley_io_tls)
