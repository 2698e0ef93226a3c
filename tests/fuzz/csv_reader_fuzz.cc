// Any bytes as a CSV list: no crash, the bounds hold, and a second reading in blocks of another
// size says exactly the same.
#include <cstdint>

#include "pipeline/source/csv_reader.h"
#include "tests/fuzz/list_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  volley::pipeline::FuzzListReader<volley::pipeline::CsvReader>(data, size);
  return 0;
}
