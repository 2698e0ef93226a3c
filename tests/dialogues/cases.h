// A dialogue and the way its bytes come, as the parameter of a test.
#ifndef VOLLEY_TESTS_DIALOGUES_CASES_H_
#define VOLLEY_TESTS_DIALOGUES_CASES_H_

#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <string>
#include <tuple>

#include "tests/dialogues/client_player.h"

namespace volley::dialogues {

using Case = std::tuple<std::string, Segmentation>;

// "client_starttls_421__bytes".
inline std::string CaseName(const testing::TestParamInfo<Case>& info) {
  std::string name = std::filesystem::path(std::get<0>(info.param)).stem().string();
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name + (std::get<1>(info.param) == Segmentation::kWhole ? "__whole" : "__bytes");
}

}  // namespace volley::dialogues

#endif  // VOLLEY_TESTS_DIALOGUES_CASES_H_
