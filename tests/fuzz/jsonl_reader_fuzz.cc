// Any bytes as a JSON Lines list: no crash, the bounds hold, a second reading in blocks of another
// size says exactly the same, and what passes as a row is JSON to another parser too.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "pipeline/source/jsonl_reader.h"
#include "tests/fuzz/list_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using volley::pipeline::Row;
  volley::pipeline::FuzzListReader<volley::pipeline::JsonlReader>(data, size, [](const Row& row) {
    if (row.problem.empty() && !nlohmann::json::accept(row.raw)) std::abort();
  });
  return 0;
}
